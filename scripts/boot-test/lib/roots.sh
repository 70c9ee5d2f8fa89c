# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # run.sh has what is shared
# The root file systems: made once, kept in .tools/cache, never booted themselves.

suite=bookworm
packages=systemd,systemd-sysv,dbus,openssh-server,ca-certificates,iproute2,rpm
cache=${BOOT_TEST_CACHE:-$top/.tools/cache}

# prepare_roots sets $plain, a small Debian, and $clouded, the same with
# cloud-init.
prepare_roots() {
  local recipe
  recipe=$(sha256sum <"$here/lib/roots.sh" | cut -c1-12)
  plain=$cache/boot-$suite-$recipe clouded=$cache/boot-$suite-cloud-init-$recipe
  [ -d "$plain" ] || make_plain
  [ -d "$clouded" ] || make_clouded
}

make_plain() {
  say "making a Debian root, once: $plain"
  mkdir -p "$cache"
  rm -rf "$cache"/boot-*
  mmdebstrap --quiet --variant=minbase --include="$packages" --skip=cleanup/apt \
    --customize-hook='chroot "$1" apt-get -qq -y --download-only --no-install-recommends install cloud-init >/dev/null' \
    "$suite" "$plain.part"
  # nspawn and the test give these.
  rm -f "$plain.part/etc/hostname" "$plain.part/etc/resolv.conf"
  : >"$plain.part/etc/machine-id"
  ln -sf /dev/null "$plain.part/etc/systemd/system/systemd-firstboot.service"
  mv "$plain.part" "$plain"
}

make_clouded() {
  rm -rf "$clouded.part"
  cp -a "$plain" "$clouded.part"
  chroot "$clouded.part" sh -c 'export DEBIAN_FRONTEND=noninteractive && apt-get -qq -y --no-download --no-install-recommends install cloud-init' >"$logs/cloud-init-install.log" 2>&1
  # The machine's addresses, host keys and root's login are the test's; the one
  # datasource is EC2's, whatever the hardware looks like.
  cat >"$clouded.part/etc/cloud/cloud.cfg.d/90-boot-test.cfg" <<'CFG'
datasource_list: [Ec2]
datasource: {Ec2: {strict_id: false}}
network: {config: disabled}
ssh_deletekeys: false
disable_root: false
users: []
locale: false
CFG
  rm -rf "$plain"/var/{cache/apt/archives,lib/apt/lists}/* "$clouded.part"/var/{cache/apt/archives,lib/apt/lists}/*
  mv "$clouded.part" "$clouded"
}
