#!/usr/bin/env bash
# Install startup-agent without a package manager, as the packages do:
#
#     scripts/install.sh [--root DIR] [--files-only] PROGRAM [GENERATED]
#
# PROGRAM is the agent's binary for the machine of that root, such as
# dist/linux-arm64/startup-agent. GENERATED holds man pages and completions below
# usr/share, as scripts/package/gen writes them. --files-only does not enable the
# unit. Run again, it upgrades: neither record nor hooks nor a run are touched.
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

root=/ enable=yes
while [ $# -gt 0 ]; do
  case $1 in
  --root) root=${2:?"--root needs a folder"} && shift 2 ;;
  --files-only) enable=no && shift ;;
  -*) usage ;;
  *) break ;;
  esac
done
[ $# = 1 ] || [ $# = 2 ] || usage
program=$1 generated=${2:-}
[ -f "$program" ] || {
  echo "install.sh: there is no $program: build it with make dist" >&2
  exit 1
}
root=${root%/}

put() { # MODE SOURCE PATH
  install -D -m "$1" "$2" "$root$3"
}

put 0755 "$program" /usr/bin/startup-agent
put 0644 "$here/package/startup-agent.service" /usr/lib/systemd/system/startup-agent.service
put 0644 "$here/package/startup-agent.preset" /usr/lib/systemd/system-preset/80-startup-agent.preset
put 0644 "$here/cloud-init/startup_bundle_handler.py" /usr/share/startup-agent/startup_bundle_handler.py
put 0644 "$here/package/tmpfiles.conf" /usr/lib/tmpfiles.d/startup-agent-cloud-init.conf
put 0644 "$here/package/cloud-init.conf" /usr/lib/systemd/system/cloud-init-local.service.d/startup-agent.conf
for hook in "$here"/hooks/*; do
  put 0755 "$hook" "/usr/share/startup-agent/hooks/${hook##*/}"
done
for snippet in "$here"/package/profile.d/*.sh; do
  [ ! -e "$snippet" ] || put 0644 "$snippet" "/etc/profile.d/${snippet##*/}"
done
if [ -n "$generated" ]; then
  mkdir -p "$root/usr/share"
  cp -R "$generated/usr/share/." "$root/usr/share/"
fi

install -d -m 0755 "$root/etc/startup-agent" "$root"/etc/startup-agent/{hooks.d,heartbeat.d}
install -d -m 0700 "$root/var/lib/startup-agent"
install -d -m 0750 "$root/var/log/startup-agent"

[ "$enable" = yes ] || exit 0
systemctl --root="$root/" enable startup-agent.service
if [ -z "$root" ]; then
  systemd-tmpfiles --create startup-agent-cloud-init.conf
  [ ! -d /run/systemd/system ] || systemctl daemon-reload
fi
echo "installed $("$root/usr/bin/startup-agent" version 2>/dev/null || echo startup-agent): it starts with the next boot"
