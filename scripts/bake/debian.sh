#!/usr/bin/env bash
# Make the root file system of a Debian that starts with startup-agent alone: no
# cloud-init, no Python. Needs root, mmdebstrap, and the package of make package.
#
#     scripts/bake/debian.sh dist/startup-agent_VERSION_amd64.deb root.tar
#     SUITE=trixie EXTRA=htop,vim scripts/bake/debian.sh …
#
# root.tar holds kernel, network and SSH. Write it to a volume and make that
# bootable as your way of making images does; packer's amazon-ebssurrogate is one.
set -euo pipefail

deb=${1:?"usage: debian.sh PACKAGE.deb ROOT.tar"} out=${2:?"usage: debian.sh PACKAGE.deb ROOT.tar"}
suite=${SUITE:-bookworm} extra=${EXTRA:-}
arch=$(dpkg-deb --field "$deb" Architecture)
hooks=$(mktemp -d)
trap 'rm -rf "$hooks"' EXIT

cat >"$hooks/customize" <<'HOOK'
#!/bin/sh
set -eu
root=$1

# Every interface asks DHCP, as EC2's networks expect, IPv6 too.
cat >"$root/etc/systemd/network/80-ec2.network" <<'CONF'
[Match]
Type=ether
[Network]
DHCP=yes
IPv6AcceptRA=yes
CONF
chroot "$root" systemctl enable systemd-networkd systemd-timesyncd ssh

# EC2's resolver, in every VPC.
rm -f "$root/etc/resolv.conf"
echo 'nameserver 169.254.169.253' >"$root/etc/resolv.conf"

# What each instance must have of its own: made at its first boot.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname"
: >"$root/etc/machine-id"
cat >"$root/etc/systemd/system/ssh-host-keys.service" <<'UNIT'
[Unit]
Description=Make this machine's SSH host keys
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl enable ssh-host-keys

# The root file system takes up its volume, however large that is.
echo 'LABEL=root / ext4 defaults,x-systemd.growfs 0 1' >"$root/etc/fstab"

chroot "$root" startup-agent bake-check
HOOK
chmod +x "$hooks/customize"

mmdebstrap --quiet --architectures="$arch" --variant=minbase \
  --include="systemd,systemd-sysv,systemd-timesyncd,dbus,openssh-server,ca-certificates,iproute2,linux-image-cloud-$arch${extra:+,$extra}" \
  --customize-hook="copy-in $deb /root" \
  --customize-hook="chroot \"\$1\" sh -c 'dpkg -i /root/${deb##*/} && rm /root/${deb##*/}'" \
  --customize-hook="$hooks/customize \"\$1\"" \
  "$suite" "$out"
echo "made $out: $(du -h "$out" | cut -f1)"
