#!/usr/bin/env bash
# Boot a real Debian under systemd-nspawn, the agent's package in it, against
# AWS's metadata mock and an S3 server, in networks of its own; see docs/baking.md.
#
#     scripts/boot-test/run.sh [CASE...]
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck disable=SC2034 # the parts use them
tools=$top/.tools/bin logs=$top/build/boot-test case=prepare name=
for part in expect roots world machine cases cloud lifecycle hashicorp; do
  # shellcheck source=/dev/null
  . "$here/lib/$part.sh"
done

# The slow ones first: most of their time they wait.
all=(late_metadata no_userdata package_lifecycle rpm_lifecycle units first_boot second_boot long_run shutdown_in_run
  module_reboots killed foreign_userdata script_userdata cloned rebaked upgraded_in_run
  beside_cloud_init script_beside_cloud_init hashicorp_packer faster_than_cloud_init)

# can_run says what is missing, if anything is.
can_run() {
  local command missing=()
  if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
    echo "it needs Linux, and root"
    return 1
  fi
  for command in mmdebstrap systemd-nspawn systemd-analyze ip ssh ssh-keygen dpkg-deb openssl; do
    command -v "$command" >/dev/null || missing+=("$command")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "missing: ${missing[*]} (apt-get install mmdebstrap systemd-container iproute2 openssh-client openssl)"
    return 1
  fi
  if ! ip netns add "sab$$" 2>/dev/null || ! ip netns del "sab$$"; then
    echo "this root may make no network namespaces"
    return 1
  fi
}

# prepare makes what all cases share.
prepare() {
  local arch root
  arch=$(dpkg --print-architecture)
  rm -rf "$logs"
  mkdir -p "$logs" "$work/s3/boot"
  prepare_roots
  PACKAGES=$work PACKAGE_VERSION=0.0.1 "$top/scripts/package/build.sh" "deb-$arch" >"$logs/package.log"
  deb=$work/startup-agent_0.0.1_$arch.deb newer_deb=$work/startup-agent_0.0.2_$arch.deb
  dpkg-deb -R "$deb" "$work/newer"
  sed -i 's/^Version: .*/Version: 0.0.2/' "$work/newer/DEBIAN/control"
  dpkg-deb -Znone -b "$work/newer" "$newer_deb" >>"$logs/package.log"
  CGO_ENABLED=0 go build -C "$top" -o "$work/metadata" ./scripts/boot-test/metadata
  ssh-keygen -q -t ed25519 -N '' -f "$work/login"
  "$top/build/startup-packer" pack "$here/modules/bundle.yaml" -o "$work/s3/boot/test.bundle" --key-out "$work/bundle.key" >/dev/null 2>&1

  # shellcheck disable=SC2154 # of prepare_roots
  layer baked "$plain"
  # shellcheck disable=SC2154
  layer baked-clouded "$clouded"
  baked=$work/baked/root baked_clouded=$work/baked-clouded/root
  for root in "$baked" "$baked_clouded"; do
    install -m 0644 "$deb" "$root/root/startup-agent.deb"
    chroot "$root" dpkg -i /root/startup-agent.deb >>"$logs/package.log" 2>&1
    rm "$root/root/startup-agent.deb"
    chroot "$root" startup-agent bake-check >>"$logs/package.log"
  done
}

cleanup() {
  local pid
  for pid in "${!cases[@]}"; do
    kill -TERM "$pid" 2>/dev/null || true
  done
  wait
  unlayer baked
  unlayer baked-clouded
  rm -rf "$work"
}

# start_case NAME: in a shell of its own, so that set -e holds in it, and beside
# others.
declare -A cases=() begun=()
start_case() {
  (
    set -e
    trap machine_gone EXIT
    trap 'exit 143' TERM
    # shellcheck disable=SC2034 # the parts use them
    case=$1 name=sab$$x${#begun[@]} scratch=$work/$1
    mkdir -p "$scratch"
    "$1"
  ) >"$logs/$1.log" 2>&1 &
  cases[$!]=$1 begun[$1]=$EPOCHREALTIME
}

# end_case waits for one to end, and tells of it.
end_case() {
  local pid one code=0 verdict=ok
  wait -n -p pid "${!cases[@]}" || code=$?
  one=${cases[$pid]}
  unset "cases[$pid]"
  [ $code = 0 ] || verdict=FAILED
  printf '%-7s %-26s %6.1f s\n' $verdict "$one" "$(between "${begun[$one]}" "$EPOCHREALTIME")"
  if [ $code = 0 ]; then
    sed -n '/→/s/^/            /p' "$logs/$one.log"
  else
    tail -n 40 "$logs/$one.log" | sed 's/^/            /'
    failed+=("$one")
  fi
}

if ! reason=$(can_run); then
  echo "skipped: boot-test cannot run here: $reason"
  exit 0
fi
began=$EPOCHREALTIME
failed=()
work=$(mktemp -d -t startup-agent-boot-test.XXXXXX)
trap cleanup EXIT
trap 'exit 130' INT TERM
prepare
printf 'ok      %-26s %6.1f s\n' prepare "$(between "$began" "$EPOCHREALTIME")"
[ $# -gt 0 ] || set -- "${all[@]}"
for one in "$@"; do
  # What is measured runs alone.
  limit=$([[ $one == faster_* ]] && echo 1 || echo "${BOOT_TEST_JOBS:-3}")
  while [ ${#cases[@]} -ge "$limit" ]; do end_case; done
  start_case "$one"
done
while [ ${#cases[@]} -gt 0 ]; do end_case; done
printf '%d of %d cases passed in %.0f s; logs: %s\n' $(($# - ${#failed[@]})) $# "$(between "$began" "$EPOCHREALTIME")" "$logs"
[ ${#failed[@]} = 0 ]
