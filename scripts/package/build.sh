#!/usr/bin/env bash
# Build the agent's deb and rpm for both architectures, into dist/packages/: the same
# sources give the same bytes.
#
#     scripts/package/build.sh [deb|rpm]-[amd64|arm64] ...      PACKAGES: another folder
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
umask 022

nfpm=${NFPM:-.tools/bin/nfpm} packages=${PACKAGES:-dist/packages}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
MAINTAINER=${MAINTAINER:-startup-bundle maintainers <root@localhost>}
export SOURCE_DATE_EPOCH MAINTAINER

# package_version: a tag v1.2.3 is 1.2.3, four commits later 1.2.3+4.g81b29d2;
# before the first tag 0.0.0~DATE.COMMIT, which sorts before any release.
package_version() {
  local described
  if described=$(git describe --tags --match 'v[0-9]*' 2>/dev/null); then
    described=${described#v}
    sed 's/-\([0-9]*\)-\(g[0-9a-f]*\)$/+\1.\2/; s/-/~/' <<<"$described"
  else
    echo "0.0.0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$(git rev-parse --short=12 HEAD)"
  fi
}
VERSION=${PACKAGE_VERSION:-$(package_version)}
export VERSION

# licenses TREE: what the licenses of the modules linked into the program ask for.
licenses() {
  local target=$1/usr/share/doc/startup-agent/THIRD-PARTY.gz path version dir
  mkdir -p "${target%/*}"
  {
    printf '== Go\n\n' && cat "$(go env GOROOT)/LICENSE"
    go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/startup-agent | sort -u |
      while read -r path version dir; do
        printf '\n== %s %s\n\n' "$path" "$version"
        cat "$dir"/LICENSE* "$dir"/NOTICE* 2>/dev/null || [ -n "$(find "$dir" -maxdepth 1 -name 'LICENSE*')" ]
      done
  } | gzip -9n >"$target"
}

# stage FORMAT ARCH: the tree that becomes the package.
stage() {
  local tree=build/package/$1-$2
  rm -rf "$tree"
  scripts/install.sh --root "$tree" --files-only "dist/linux-$2/startup-agent" build/package/generated
  licenses "$tree"
  if [ "$1" = deb ]; then
    mv "$tree/usr/share/zsh/site-functions" "$tree/usr/share/zsh/vendor-completions"
  fi
}

wanted=("$@")
[ $# -gt 0 ] || wanted=({deb,rpm}-{amd64,arm64})
rm -rf build/package/generated
mkdir -p "$packages"
go run ./scripts/package/gen build/package/generated
for package in "${wanted[@]}"; do
  FORMAT=${package%-*} ARCH=${package#*-}
  export FORMAT ARCH
  [ -f "dist/linux-$ARCH/startup-agent" ] || {
    echo "build.sh: there is no dist/linux-$ARCH/startup-agent: run make package" >&2
    exit 1
  }
  stage "$FORMAT" "$ARCH"
  "$nfpm" package --config scripts/package/nfpm.yaml --packager "$FORMAT" --target "$packages/"
done
