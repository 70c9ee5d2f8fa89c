#!/usr/bin/env bash
# Cut the power of a virtual machine while its agent works, and see that the next boot
# makes it good: a real kernel on a real disk, under qemu without acceleration. What
# its modules do they tell a server outside, which loses nothing. See docs/baking.md.
#
#     scripts/vm-test/run.sh [CASE...]
# shellcheck disable=SC2154 # the parts have some
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck disable=SC2034 # the parts use them
tools=$top/.tools/bin logs=$top/build/vm-test case=prepare scratch='' work=''
for part in expect world; do
  # shellcheck source=/dev/null
  . "$top/scripts/boot-test/lib/$part.sh"
done
cache=${VM_TEST_CACHE:-$top/.tools/cache}
readonly boot_patience=240 # seconds; there is no hardware to help

all=(first_boot cut_in_download cut_in_module cut_after_rename)

can_run() {
  local command missing=()
  if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
    echo "it needs Linux, and root"
    return 1
  fi
  for command in mmdebstrap qemu-system-x86_64 mke2fs ip openssl; do
    command -v "$command" >/dev/null || missing+=("$command")
  done
  [ ${#missing[@]} = 0 ] || echo "missing: ${missing[*]} (apt-get install mmdebstrap qemu-system-x86 e2fsprogs iproute2 openssl)"
  [ ${#missing[@]} = 0 ]
}

# prepare makes the disk that all cases start from, and the bundle.
prepare() {
  local recipe root
  mkdir -p "$logs" "$cache" "$work/s3"
  recipe=$(declare -f prepare | sha256sum | cut -c1-12)
  root=$cache/vm-bookworm-$recipe
  if [ ! -d "$root" ]; then
    say "making a Debian with a kernel, once: $root"
    rm -rf "$cache"/vm-*
    mmdebstrap --quiet --variant=minbase \
      --include=systemd,systemd-sysv,dbus,udev,ca-certificates,iproute2,curl,linux-image-cloud-amd64 bookworm "$root.part"
    printf '[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' >"$root.part/etc/systemd/network/10-all.network"
    chroot "$root.part" systemctl -q enable systemd-networkd
    echo '/dev/vda / ext4 defaults 0 1' >"$root.part/etc/fstab"
    echo vm >"$root.part/etc/hostname"
    mv "$root.part" "$root"
  fi
  PACKAGES=$work PACKAGE_VERSION=0.0.1 "$top/scripts/package/build.sh" "deb-amd64" >"$logs/package.log"
  cp -a "$root" "$work/root"
  cp "$work/startup-agent_0.0.1_amd64.deb" "$work/root/root/"
  chroot "$work/root" dpkg -i /root/startup-agent_0.0.1_amd64.deb >>"$logs/package.log" 2>&1
  rm "$work/root/root/startup-agent_0.0.1_amd64.deb"
  cp "$work"/root/boot/vmlinuz-* "$work/kernel"
  cp "$work"/root/boot/initrd.img-* "$work/initrd"
  truncate -s 2G "$work/disk"
  mke2fs -q -t ext4 -d "$work/root" "$work/disk"
  rm -rf "$work/root"

  cp -r "$here/modules" "$work/modules"
  head -c 24M /dev/urandom >"$work/modules/first/payload"
  "$top/build/startup-packer" pack "$work/modules/bundle.yaml" -o "$work/vm.bundle" --key-out "$work/key" >/dev/null 2>&1
  "$top/build/startup-packer" userdata --url "http://$gateway:8080/vm.bundle" --key-file "$work/key" --bundle "$work/vm.bundle" -o "$work/userdata"
  CGO_ENABLED=0 go build -C "$top" -o "$work/metadata" ./scripts/boot-test/metadata
  CGO_ENABLED=0 go build -C "$top" -o "$work/world" ./scripts/vm-test/world
}

# begin_case: a disk of its own, and a world.
begin_case() {
  scratch=$work/$case
  mkdir -p "$scratch/files"
  cp --sparse=always "$work/disk" "$scratch/disk"
  cp "$work/vm.bundle" "$scratch/files/"
  : >"$scratch/files/events"
  world_up "sav$$"
  metadata i-0123456789abcdef0 "$work/userdata"
  serve world "$work/world" "$gateway:8080" "$scratch/files"
  until_true 10 "the test's server answers" listens "$gateway" 8080
}

end_case() {
  metadata_off
  world_down
  rm -rf "$scratch"
}

# power_on boots the machine. Its network is qemu's own, inside the world's namespace:
# what it asks of 169.254.169.254 the world's metadata answers.
power_on() {
  # Paravirtual devices and a plain clock: without them a boot takes minutes.
  ip netns exec "${world}c" qemu-system-x86_64 -accel tcg -cpu Nehalem -smp 2 -m 1024 -nodefaults -no-reboot -display none \
    -kernel "$work/kernel" -initrd "$work/initrd" \
    -append 'root=/dev/vda rw console=ttyS0 mitigations=off nokaslr tsc=reliable no_timer_check net.ifnames=0' \
    -drive "file=$scratch/disk,format=raw,if=virtio,cache=writeback" -nic user,model=virtio-net-pci \
    -serial "file:$scratch/console" </dev/null >>"$logs/$case.qemu.log" 2>&1 &
  machine=$!
}

# power_cut loses what the machine had in its page cache; what its disk was given, which
# is in the page cache of this machine, stays.
power_cut() {
  [ -n "${machine:-}" ] || return 0
  kill -KILL "$machine" 2>/dev/null || true
  wait "$machine" 2>/dev/null || true
  cat "$scratch/console" >>"$logs/$case.console.log" 2>/dev/null || true
  machine=
}

happened() { grep -qx "$1" "$scratch/files/events"; }
ended() { tr -d '\r' <"$scratch/console" | grep -q "startup-agent: result=$1 "; }
times() { grep -cx "$1" "$scratch/files/events" || true; }

# comes_up: the role is taken on, and each module ran as often as promised: first and
# middle as often as given, last once.
comes_up() { # FIRST MIDDLE
  until_true "$boot_patience" "the role is taken on" ended succeeded
  expect_text "first was started $1 times" "$1" times first-started
  expect_text "middle was started $2 times" "$2" times middle-started
  expect_text "middle ended once" 1 times middle-ended
  expect_text "last was started once" 1 times last-started
}

first_boot() {
  touch "$scratch/files/open"
  power_on
  comes_up 1 1
}

# In the middle of the download, and so of unpacking.
cut_in_download() {
  touch "$scratch/files/hold" "$scratch/files/open"
  power_on
  until_true "$boot_patience" "half of the bundle is fetched" happened held
  power_cut
  expect_text "nothing has run" 0 times first-started
  rm "$scratch/files/hold"
  power_on
  comes_up 1 1
}

# The second module runs: the first must not run again.
cut_in_module() {
  power_on
  until_true "$boot_patience" "the second module runs" happened middle-started
  power_cut
  touch "$scratch/files/open"
  power_on
  comes_up 1 2
  expect_text "first ended once" 1 times first-ended
}

# The bundle has its name, and is hardly on the disk: the first module has just begun.
cut_after_rename() {
  power_on
  until_true "$boot_patience" "the first module runs" happened first-started
  power_cut
  touch "$scratch/files/open"
  power_on
  until_true "$boot_patience" "the role is taken on" ended succeeded
  expect_text "last was started once" 1 times last-started
  expect "first ended" happened first-ended
}

cleanup() {
  trap - EXIT
  power_cut
  metadata_off
  world_down
  rm -rf "$work"
}

if ! reason=$(can_run); then
  echo "skipped: vm-test cannot run here: $reason"
  exit 0
fi
work=$(mktemp -d -t startup-agent-vm-test.XXXXXX)
scratch=$work world='' machine=''
trap cleanup EXIT
trap 'exit 130' INT TERM
rm -rf "$logs"
began=$EPOCHREALTIME
prepare
printf 'ok      %-20s %6.1f s\n' prepare "$(between "$began" "$EPOCHREALTIME")"
[ $# -gt 0 ] || set -- "${all[@]}"
failed=0
for case in "$@"; do
  began=$EPOCHREALTIME verdict=ok
  begin_case
  # In the background, because set -e does not hold in a condition.
  (
    trap power_cut EXIT
    set -e
    "$case"
  ) >"$logs/$case.log" 2>&1 &
  wait $! || verdict=FAILED failed=$((failed + 1))
  end_case
  printf '%-7s %-20s %6.1f s\n' $verdict "$case" "$(between "$began" "$EPOCHREALTIME")"
  [ $verdict = ok ] || tail -n 30 "$logs/$case.log" "$logs/$case.console.log"
done
printf '%d passed, %d failed\n' $(($# - failed)) $failed
[ $failed = 0 ]
