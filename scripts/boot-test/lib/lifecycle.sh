# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # run.sh has what is shared
# The packages' life, and the order of the units.

# paths ROOT: every path but those of dpkg's and rpm's own books.
paths() {
  (cd "$1" && find . \( -path ./var/lib/dpkg -o -path ./var/log/dpkg.log -o -path ./var/cache/ldconfig -o -path ./root/.rpmdb \) -prune -o "${@:2}") | sort
}

# listing ROOT: the paths, each with mode, link and content.
listing() {
  paths "$1" -printf '%p %m %l\n'
  (cd "$1" && paths . -type f -print | tr '\n' '\0' | xargs -0 sha256sum)
}

in_root() { chroot "$image" "$@"; }

package_lifecycle() {
  layer lifecycle "$plain"
  trap 'unlayer lifecycle' EXIT
  image=$work/lifecycle/root
  install -m 0644 "$deb" "$image/root/1.deb"
  install -m 0644 "$newer_deb" "$image/root/2.deb"
  listing "$image" >"$scratch/before"
  paths "$image" -print >"$scratch/paths"

  expect "it installs" in_root dpkg -i /root/1.deb
  expect "the unit is enabled" in_root systemctl is-enabled startup-agent
  expect "bake-check finds nothing" in_root startup-agent bake-check
  expect_text "what it adds is what the docs say" "$(documented)" added
  expect "dpkg has nothing to complain of" in_root dpkg --verify startup-agent

  mkdir -p "$image/var/lib/startup-agent/bundle" "$image/var/log/startup-agent/modules"
  echo '{}' >"$image/var/lib/startup-agent/record.json"
  echo log >"$image/var/log/startup-agent/agent.jsonl"
  ln -s /usr/share/startup-agent/hooks/asg-ready "$image/etc/startup-agent/hooks.d/"
  expect "it upgrades" in_root dpkg -i /root/2.deb
  expect_text "the record is kept" '{}' cat "$image/var/lib/startup-agent/record.json"
  expect "the unit is still enabled" in_root systemctl is-enabled startup-agent
  in_root systemctl disable startup-agent
  expect "it is installed again" in_root dpkg -i /root/2.deb
  expect_text "who disabled it is heard" disabled in_root systemctl is-enabled startup-agent

  expect "it is removed" in_root dpkg -r startup-agent
  expect_text "state, logs and the owner's hooks are left" "$(
    cat <<'LEFT'
./etc/startup-agent
./etc/startup-agent/hooks.d
./etc/startup-agent/hooks.d/asg-ready
./var/lib/startup-agent
./var/lib/startup-agent/bundle
./var/lib/startup-agent/record.json
./var/lib/startup-agent/removed
./var/log/startup-agent
./var/log/startup-agent/agent.jsonl
./var/log/startup-agent/modules
LEFT
  )" added
  expect "it comes back" in_root dpkg -i /root/2.deb
  expect "and is enabled" in_root systemctl is-enabled startup-agent
  expect_text "with its record" '{}' cat "$image/var/lib/startup-agent/record.json"
  expect "it is purged" in_root dpkg -P startup-agent
  listing "$image" >"$scratch/after"
  expect "nothing is left, and nothing else was changed" diff "$scratch/before" "$scratch/after"
}

# rpm_lifecycle: the same of the rpm, which has scripts of its own, and the live part on
# a machine that runs. rpm knows nothing here of what dpkg has installed.
rpm_lifecycle() {
  local arch version before record=/var/lib/startup-agent/record.json
  arch=$(dpkg --print-architecture)
  userdata waits --env MIDDLE=wait
  machine_new "$name" "$plain"
  metadata "$id" "$scratch/waits"
  for version in 1 2; do
    PACKAGES=$scratch PACKAGE_VERSION=0.0.$version "$top/scripts/package/build.sh" "rpm-$arch" >>"$logs/package.log"
    install -m 0644 "$scratch"/startup-agent-0.0.$version-*.rpm "$image/root/$version.rpm"
  done
  paths "$image" -print >"$scratch/paths"
  expect "it installs" in_root "${rpm[@]}" -i /root/1.rpm
  expect "the unit is enabled" in_root systemctl is-enabled startup-agent
  expect "bake-check finds nothing" in_root startup-agent bake-check
  expect_text "what it adds is what the docs say" "$(documented | of_rpm | sort)" added
  expect_text "rpm has nothing to complain of" "" in_root rpm --verify --nodeps startup-agent
  ln -s /usr/share/startup-agent/hooks/asg-ready "$image/etc/startup-agent/hooks.d/"

  machine_on
  until_true 60 "the second module runs" on grep -q '^middle' /var/lib/ran
  before=$(agent_pid)
  expect "it upgrades" on "${rpm[@]}" -U /root/2.rpm
  expect_text "the run goes on, not restarted" "$before" agent_pid
  on touch /var/lib/go-on
  until_true 30 "the run ends" status_is 0
  expect_text "no module ran twice" "$all_done" ran
  expect "the unit is still enabled" on systemctl is-enabled startup-agent
  on systemctl disable startup-agent
  expect "it is installed again" on "${rpm[@]}" -U --force /root/2.rpm
  expect_text "who disabled it is heard" disabled on systemctl is-enabled startup-agent

  on cp "$record" /root/record
  expect "it is erased" on rpm -e startup-agent
  expect "the program and the unit are gone" on 'test ! -e /usr/bin/startup-agent && ! systemctl cat startup-agent.service'
  expect_text "and all the rest" "" on "find /usr /etc -name '*startup*agent*' -not -path '/etc/startup-agent*' -not -name startup-agent.service.d"
  expect "the record is left" on cmp "$record" /root/record
  expect "and the owner's hooks" on test -L /etc/startup-agent/hooks.d/asg-ready
  expect "it comes back" on "${rpm[@]}" -i /root/2.rpm
  expect "and is enabled" on systemctl is-enabled startup-agent
  expect "with its role" status_is 0
}
rpm=(rpm --nodeps)

# of_rpm: where an rpm has what Debian has elsewhere.
of_rpm() {
  echo ./usr/share/zsh/site-functions # this machine has no zsh
  sed 's,zsh/vendor-completions,zsh/site-functions,; /changelog.Debian/d'
}

# added: the paths that are there now and were not before, as docs/baking.md
# shortens them.
added() {
  paths "$image" -print | comm -13 "$scratch/paths" - |
    sed 's,\(/man8/startup-agent\).*,\1*.8.gz,; s,\(startup-agent/hooks\)/.*,\1/*,' | uniq
}

# documented: the paths that docs/baking.md says an installation adds.
documented() {
  sed -n '/^## What is installed/,/^## /s/^| `\/\([^`]*\)` .*/.\/\1/p' "$top/docs/baking.md" | sort
}

# units: systemd finds no fault in the order, with or without cloud-init, whose
# generator makes its target a part of every boot; nor where the agent waits for it.
units() {
  expect_text "systemd-analyze finds nothing" "" verify "$baked"
  expect_text "nor with cloud-init" "" verify "$baked_clouded" cloud-init.target
  layer waits "$baked_clouded"
  trap 'unlayer waits' EXIT
  install -D -m 0644 /dev/stdin "$work/waits/root/etc/systemd/system/startup-agent.service.d/order.conf" <<<$'[Unit]\nAfter=cloud-init.target'
  expect_text "nor where the agent waits for cloud-init" "" verify "$work/waits/root" cloud-init.target
  install -D -m 0644 /dev/stdin "$work/waits/root/etc/systemd/system/startup-agent.service.d/order.conf" <<<$'[Unit]\nAfter=cloud-init.target\nBefore=multi-user.target'
  expect_line "it would find a cycle" cycle verify "$work/waits/root" cloud-init.target
}

# verify ROOT UNIT...
verify() {
  systemd-analyze verify --root="$1" --man=no --recursive-errors=yes multi-user.target startup-agent.service apt-daily.service "${@:2}" 2>&1 |
    grep -E 'startup-agent|cycle|cloud-init' || true
}
