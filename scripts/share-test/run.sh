#!/usr/bin/env bash
# Publish ten standard modules to a registry on loopback, take them all into one
# personality from there, and boot its bundle, which needs no registry. See
# docs/sharing.md.
#
#     scripts/share-test/run.sh [--base debian13]
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
modules=(hostname users tinydns redis nginx perl sbcl postgresql node-exporter unattended-upgrades)
work=$(mktemp -d -t startup-agent-share-test.XXXXXX)
# An empty cache, but for the machines' roots, which are minutes of work.
roots=${XDG_CACHE_HOME:-$HOME/.cache}/startup-packer/roots
mkdir -p "$roots" "$work/cache/startup-packer"
ln -s "$roots" "$work/cache/startup-packer/roots"
export XDG_CACHE_HOME=$work/cache DOCKER_CONFIG=$work/docker

registry=
stop() {
  [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
  registry=
}
cleanup() {
  trap - EXIT
  stop
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

packer() { "$top/build/startup-packer" "$@"; }

# serve: the registry takes a free port, and says which.
serve() {
  local address=''
  cat >"$work/registry.yaml" <<YAML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:0"}
YAML
  OTEL_TRACES_EXPORTER=none "$top/.tools/bin/registry" serve "$work/registry.yaml" >"$work/registry.log" 2>&1 &
  registry=$!
  until address=$(grep -om1 '127\.0\.0\.1:[1-9][0-9]*' "$work/registry.log"); do
    kill -0 "$registry" || {
      cat "$work/registry.log" >&2
      exit 1
    }
    sleep 0.1
  done
  repository=oci://$address/standard
}

serve
printf 'name: ten\nmodules:\n' >"$work/ten.yaml"
for module in "${modules[@]}"; do
  packer module publish "$top/modules/$module" "$repository/$module"
  printf '  - use: %s/%s:1\n' "$repository" "$module" >>"$work/ten.yaml"
  case $module in
  hostname) echo '    options: {name: web-1.example.com}' ;;
  users) echo '    options: {keys: "ann ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJz0a5sq55QdaxQa14wwAcMukaKAhbyjjgZVdRk1UH5W ann"}' ;;
  tinydns) echo '    options: {records: ".corp.test:10.0.0.2:a"}' ;;
  esac >>"$work/ten.yaml"
done
packer pack "$work/ten.yaml" -o "$work/ten.bundle" --key-out "$work/ten.key"
stop
packer module test "$@" "$work/ten.yaml"
