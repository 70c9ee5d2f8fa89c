#!/usr/bin/env bash
# Run Debian's cloud-init over userdata samples, with the part handler in place.
# The packages are downloaded and unpacked, never installed: none of their
# services exists. Needs apt-get, dpkg-deb and Debian's own python3.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tools=${CLOUD_INIT_ROOT:-$here/../../../.tools/cloud-init}
python=$tools/usr/lib/python3/dist-packages
packages=(cloud-init python3-{attr,certifi,chardet,charset-normalizer,configobj,idna,jinja2,json-pointer,jsonpatch,jsonschema,markupsafe,netifaces,oauthlib,pyrsistent,requests,serial,six,urllib3,yaml})

if [[ ! -e $tools/complete ]]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  chmod 755 "$scratch"
  for package in "${packages[@]}"; do
    (cd "$scratch" && apt-get -qq -o APT::Sandbox::User=root download "$package") || {
      echo "cannot download $package; is this Debian, and was apt-get update run?" >&2
      exit 1
    }
  done
  mkdir -p "$tools"
  for deb in "$scratch"/*.deb; do
    dpkg-deb -x "$deb" "$tools"
  done
  touch "$tools/complete"
fi

PYTHONPATH=$python exec /usr/bin/python3 -B "$here/run.py"
