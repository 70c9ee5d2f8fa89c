#!/usr/bin/env bash
# Make the machine that this runs on ready to become an image: install the agent's
# package, forget whatever it did here, and check. Root; run it last.
#
#     provision.sh PACKAGE      a .deb or .rpm for this machine, as make package makes them
set -euo pipefail

[ $# = 1 ] || {
  echo "usage: provision.sh PACKAGE (given: $*)" >&2
  exit 2
}
package=$1
[ -f "$package" ] || {
  echo "provision.sh: there is no $package" >&2
  exit 1
}
package=$(realpath "$package")

# Nothing else may be installing at the same time, as cloud-init does at first boot.
# Where it does not run, as in a chroot, it would be waited for in vain.
if [ -e /run/cloud-init/enabled ]; then
  timeout 600 cloud-init status --wait >/dev/null || true
fi

case $package in
*.deb)
  export DEBIAN_FRONTEND=noninteractive
  if [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then
    apt-get -qq -o DPkg::Lock::Timeout=120 update
    apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends ca-certificates
  fi
  apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$package"
  ;;
*.rpm) dnf --quiet --assumeyes install "$package" ca-certificates ;;
*)
  echo "provision.sh: $package is neither .deb nor .rpm: use scripts/install.sh" >&2
  exit 1
  ;;
esac

# An image built upon an earlier one may have a past, and cloud-init keeps the
# userdata of the machine that built it.
startup-agent reset --all --yes
if command -v cloud-init >/dev/null; then
  cloud-init clean --logs
fi
startup-agent bake-check
