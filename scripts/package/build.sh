#!/usr/bin/env bash
# Build the deb and rpm of both programs for both architectures, into dist/packages/:
# the same sources give the same bytes.
#
#     scripts/package/build.sh [packer-](deb|rpm)-(amd64|arm64) ...
#
# Without packer- it is the agent's. PACKAGES names another folder for them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
umask 022

nfpm=${NFPM:-.tools/bin/nfpm} packages=${PACKAGES:-dist/packages}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
# No mailbox belongs to the project: whoever publishes packages puts their own here.
MAINTAINER=${MAINTAINER:-startup-agent maintainers <nobody@startup-agent.invalid>}
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

# changelog: what nfpm writes into the packages. Its one entry is of this version.
changelog() {
  cat <<END
- semver: ${VERSION/\~/-}
  date: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
  packager: $MAINTAINER
  changes:
    - note: This release. What is new in it stands in the project's CHANGELOG.md.
END
}

# licenses TREE PROGRAM: what the licenses of the modules linked into a program ask for.
licenses() {
  local target=$1/usr/share/doc/$2/THIRD-PARTY.gz path version dir
  mkdir -p "${target%/*}"
  {
    printf '== Go\n\n' && cat "$(go env GOROOT)/LICENSE"
    go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' "./cmd/$2" | sort -u |
      while read -r path version dir; do
        printf '\n== %s %s\n\n' "$path" "$version"
        cat "$dir"/LICENSE* "$dir"/NOTICE* 2>/dev/null || [ -n "$(find "$dir" -maxdepth 1 -name 'LICENSE*')" ]
      done
  } | gzip -9n >"$target"
}

# stage PROGRAM FORMAT ARCH: the tree that becomes the package.
stage() {
  local tree=build/package/$1-$2-$3 program=dist/linux-$3/$1 generated=build/package/generated/$1
  rm -rf "$tree"
  if [ "$1" = startup-agent ]; then
    scripts/install.sh --root "$tree" --files-only "$program" "$generated"
  else
    install -D -m 0755 "$program" "$tree/usr/bin/$1"
    cp -R "$generated/usr/share" "$tree/usr/"
  fi
  licenses "$tree" "$1"
  if [ "$2" = deb ]; then
    mv "$tree/usr/share/zsh/site-functions" "$tree/usr/share/zsh/vendor-completions"
  fi
}

wanted=("$@")
[ $# -gt 0 ] || wanted=({,packer-}{deb,rpm}-{amd64,arm64})
rm -rf build/package/generated
mkdir -p "$packages" build/package
changelog >build/package/changelog.yaml
go run ./scripts/package/gen build/package/generated
for package in "${wanted[@]}"; do
  program=startup-agent config=agent.yaml
  case $package in packer-*) program=startup-packer config=packer.yaml ;; esac
  package=${package#packer-}
  FORMAT=${package%-*} ARCH=${package#*-}
  export FORMAT ARCH
  [ -f "dist/linux-$ARCH/$program" ] || {
    echo "build.sh: there is no dist/linux-$ARCH/$program: run make package" >&2
    exit 1
  }
  stage "$program" "$FORMAT" "$ARCH"
  "$nfpm" package --config "scripts/package/$config" --packager "$FORMAT" --target "$packages/"
done
