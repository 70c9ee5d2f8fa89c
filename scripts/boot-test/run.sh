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
for part in expect roots world machine cases cloud lifecycle; do
  # shellcheck source=/dev/null
  . "$here/lib/$part.sh"
done

all=(package_lifecycle units first_boot second_boot long_run shutdown_in_run module_reboots killed
  late_metadata no_userdata foreign_userdata script_userdata cloned rebaked upgraded_in_run
  beside_cloud_init script_beside_cloud_init faster_than_cloud_init)

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
  PACKAGE_VERSION=0.0.1 "$top/scripts/package/build.sh" "deb-$arch" >"$logs/package.log"
  PACKAGE_VERSION=0.0.2 "$top/scripts/package/build.sh" "deb-$arch" >>"$logs/package.log"
  deb=$top/dist/packages/startup-agent_0.0.1_$arch.deb newer_deb=$top/dist/packages/startup-agent_0.0.2_$arch.deb
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
  if [ -n "${running:-}" ]; then
    kill -TERM "$running" 2>/dev/null || true
    wait "$running" 2>/dev/null || true
  fi
  unlayer baked
  unlayer baked-clouded
  rm -rf "$work" "${deb:-}" "${newer_deb:-}"
}

# run_case NAME: in a shell of its own, so that set -e holds in it.
run_case() {
  local began=$EPOCHREALTIME code=0
  (
    set -e
    trap machine_gone EXIT
    trap 'exit 143' TERM INT
    # shellcheck disable=SC2034 # the parts use them
    case=$1 name=sab$$
    "$1"
  ) >"$logs/$1.log" 2>&1 &
  running=$!
  wait "$running" || code=$?
  running=
  if [ $code = 0 ]; then
    printf 'ok      %-26s %6.1f s\n' "$1" "$(between "$began" "$EPOCHREALTIME")"
    grep -E '→' "$logs/$1.log" | sed 's/^/            /' || true
  else
    printf 'FAILED  %-26s %6.1f s\n' "$1" "$(between "$began" "$EPOCHREALTIME")"
    sed 's/^/            /' "$logs/$1.log" | tail -n 40
    failed+=("$1")
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
  run_case "$one"
done
printf '%d of %d cases passed in %.0f s; logs: %s\n' $(($# - ${#failed[@]})) $# "$(between "$began" "$EPOCHREALTIME")" "$logs"
[ ${#failed[@]} = 0 ]
