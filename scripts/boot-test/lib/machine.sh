# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # run.sh has what is shared
# One machine: a throw-away layer over a root, booted by systemd-nspawn with the
# instance's network namespace for its network.

machine=

# layer NAME ROOT: mounts $work/NAME/root, which reads ROOT and writes to memory.
# ROOT may be several, the topmost first, with colons between.
layer() {
  local dir=$work/$1
  mkdir -p "$dir/memory" "$dir/root"
  mount -t tmpfs -o size=1g,mode=755 startup-agent "$dir/memory"
  mkdir -p "$dir/memory/upper" "$dir/memory/work"
  mount -t overlay startup-agent -o "lowerdir=$2,upperdir=$dir/memory/upper,workdir=$dir/memory/work" "$dir/root"
}

unlayer() { # NAME
  local dir=$work/$1
  umount -l "$dir/root" 2>/dev/null || true
  umount -l "$dir/memory" 2>/dev/null || true
  rm -rf "$dir"
}

# machine_new NAME ROOT: a machine that is off, with its own network and world.
machine_new() {
  machine=$1 image=$work/$1/root
  world_up "$1"
  layer "$1" "$2"
  install -D -m 0600 "$work/login.pub" "$image/root/.ssh/authorized_keys"
  install -D -m 0644 /dev/stdin "$image/etc/systemd/system/startup-agent.service.d/s3.conf" <<CONF
[Service]
Environment=AWS_ENDPOINT_URL_S3=http://$gateway:7070
CONF
}

# cgroups lists the machine's control group in each hierarchy: without its own it
# would share one with other containers.
cgroups() {
  local hierarchy
  for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ ! -e "$hierarchy/cgroup.procs" ] || echo "$hierarchy/startup-agent-$machine"
  done
}

# machine_on boots it, and again when it reboots itself (nspawn then ends with 133).
machine_on() {
  {
    trap - EXIT
    for group in $(cgroups); do
      mkdir -p "$group"
      echo "$BASHPID" >"$group/cgroup.procs"
    done
    while :; do
      echo "$EPOCHREALTIME" >"$work/$machine/began"
      code=0
      SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --register=no --keep-unit --console=read-only \
        --machine="$machine" --hostname="$machine" --network-namespace-path="/run/netns/${machine}i" \
        --resolv-conf=off --timezone=off --link-journal=no --directory="$image" --boot || code=$?
      [ "$code" = 133 ] || break
    done
  } </dev/null >>"$logs/$case.console.log" 2>&1 &
  machine_pid=$!
  disown "$machine_pid"
  until_true 60 "the machine answers ssh" on true
}

# machine_off shuts it down as EC2 does, and waits.
machine_off() {
  on systemctl poweroff || true
  until_true 60 "the machine is off" is_off
}

is_off() { ! kill -0 "$machine_pid" 2>/dev/null; }

# machine_gone ends whatever of it is left.
machine_gone() {
  local group pid
  [ -n "$machine" ] || return 0
  for group in $(cgroups); do
    [ -d "$group" ] || continue
    find "$group" -name cgroup.procs -exec cat {} + | sort -un | while read -r pid; do
      kill -KILL "$pid" 2>/dev/null || true
    done
  done
  for group in $(cgroups); do
    [ -d "$group" ] || continue
    until_true 10 "the machine's processes are gone" ungroup "$group" || true
  done
  unlayer "$machine"
  world_down
  machine=
}

ungroup() {
  find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
  [ ! -d "$1" ]
}

# on COMMAND...: runs it on the machine, over ssh as a person would.
on() {
  timeout 90 ip netns exec "${world}c" ssh -q -i "$work/login" -o BatchMode=yes -o ConnectTimeout=2 \
    -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "root@$address" "$@" </dev/null
}

# reboots COMMAND...: runs it and waits until the machine is up again.
reboots() {
  local before
  before=$(cat "$work/$machine/began")
  on "$@" || true
  until_true 60 "the machine has rebooted" began_after "$before"
}

began_after() { [ "$(cat "$work/$machine/began")" != "$1" ] && on true; }
