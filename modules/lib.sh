# shellcheck shell=bash
# lib.sh: helpers for the start and check scripts of modules. A script begins:
#
#   #!/usr/bin/env bash
#   set -euo pipefail
#   . "${STARTUP_LIB:-../lib.sh}"
#
# What holds for all of it:
#   - Look before changing: a second start finds nothing to do. Real changes are
#     counted, and the script's last line of output is "changes: N".
#   - A run may be cut at any point (kill -9, power). Files appear whole or not at
#     all, and a service that did not yet take its new files takes them next time.
#   - Distribution differences end here: OS_FAMILY is debian (apt) or redhat (dnf).
#   - bash 4.2 is enough. /etc/os-release is read, never sourced: it sets NAME,
#     VERSION and ID.
#
# Each function below is described as:
#   # name ARG [OPTIONAL] - what it does
#   #   changes: what it may alter      exit: what it returns, or ends the script with
#
# Variables for scripts: OS_ID OS_VERSION OS_FAMILY ARCH (amd64, arm64), and SCRATCH,
# a private folder that is gone when the script ends. Traps on EXIT and ERR are taken.
#
# STARTUP_LIB_ROOT is for tests: a folder whose bin/ goes first on PATH, under which
# lib.sh looks for the system's own files, and outside of which the file helpers
# refuse to write. The agent never sets it.

set -Eeuo pipefail
shopt -s inherit_errexit 2>/dev/null || true # bash 4.4 up
umask 022
_root=${STARTUP_LIB_ROOT:-}
export PATH=${_root:+$_root/bin:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=${HOME:-/root} LC_ALL=C.UTF-8
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true UCF_FORCE_CONFFOLD=1
export NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l APT_LISTCHANGES_FRONTEND=none

STARTUP_MODULE=${STARTUP_MODULE:-${PWD##*/}}
STARTUP_MODULE_DIR=${STARTUP_MODULE_DIR:-$PWD}
STARTUP_STATE_DIR=${STARTUP_STATE_DIR:-$_root/var/lib/startup-agent/state/$STARTUP_MODULE}
SCRATCH=$(mktemp -d)
export STARTUP_MODULE STARTUP_MODULE_DIR STARTUP_STATE_DIR SCRATCH
_policy=$_root/usr/sbin/policy-rc.d
_guarded=
_policy_mark='# startup-agent: packages do not start services before they are configured'

# ---- saying and ending ------------------------------------------------------------

# log TEXT… - one line on stdout, which the agent keeps in the module's log
#   changes: nothing      exit: 0
log() { printf '%s\n' "$*"; }

# die TEXT… - fail the module; say what is wrong and what to do
#   changes: nothing      exit: ends the script with 1
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# skip TEXT… - the module does not apply to this machine
#   changes: nothing      exit: ends the script with 77
skip() {
  log "skipped: $*"
  exit 77
}

# retry_later TEXT… - not now, but worth another try (the agent backs off)
#   changes: nothing      exit: ends the script with 75
retry_later() {
  log "try again later: $*"
  exit 75
}

# reboot_first TEXT… - the machine must reboot, and then run this module again
#   changes: nothing (the agent reboots)      exit: ends the script with 194
reboot_first() {
  log "reboot needed: $*"
  exit 194
}

# changed TEXT… - say and count one real change; works in subshells and pipelines too
#   changes: the count      exit: 0
changed() {
  log "changed: $*"
  echo >>"$SCRATCH/.changes"
}

_on_error() { # STATUS FILE LINE COMMAND
  local main=${BASH_LINENO[${#BASH_LINENO[@]} - 2]} at="$2 line $3"
  [ "$2" = "${0##*/}" ] || at+=" (called at ${0##*/} line $main)"
  printf 'error: %s: "%s" exited %s\n' "$at" "$4" "$1" >&2
}

_on_exit() {
  local n=0
  [ -z "$_guarded" ] || _unguard
  [ ! -e "$SCRATCH/.changes" ] || n=$(wc -l <"$SCRATCH/.changes")
  rm -rf "$SCRATCH"
  echo "changes: $((n))"
}

# ---- change tracking ---------------------------------------------------------------
# The mark is on disk before a file changes, and goes only when the service is active
# with it: a run cut off in between is made good by the next.

# mark_dirty - note that files are about to change (put_file and put_line call it)
#   changes: a mark in STARTUP_STATE_DIR      exit: 0
mark_dirty() {
  is_dirty && return 0
  (umask 077 && mkdir -p "$STARTUP_STATE_DIR")
  : >"$STARTUP_STATE_DIR/$STARTUP_MODULE.dirty"
  sync "$STARTUP_STATE_DIR/$STARTUP_MODULE.dirty" "$STARTUP_STATE_DIR" 2>/dev/null || true
}

# is_dirty - is there a change that nothing has taken up yet?
#   changes: nothing      exit: 0 yes, 1 no
is_dirty() { [ -e "$STARTUP_STATE_DIR/$STARTUP_MODULE.dirty" ]; }

# mark_clean - the changes are in effect (svc_up calls it)
#   changes: the mark      exit: 0
mark_clean() { rm -f "$STARTUP_STATE_DIR/$STARTUP_MODULE.dirty"; }

# ---- the system --------------------------------------------------------------------

_os_release() { sed -n "s/^$1=//p" "$_root/etc/os-release" | tr -d "\"'" | head -n 1; }

# os_is NAME… - is this one of them? NAME is debian, ubuntu-24.04, amzn-2023, …
#   changes: nothing      exit: 0 yes, 1 no
os_is() {
  local name
  for name; do
    case $name in "$OS_ID" | "$OS_ID-$OS_VERSION") return 0 ;; esac
  done
  return 1
}

# need_os NAME… - skip the module on every other system
#   changes: nothing      exit: 0, or ends the script with 77
need_os() { os_is "$@" || skip "written for $*, and this is $OS_ID $OS_VERSION"; }

# has_systemd - is systemd running here? (not while an image is built in a chroot)
#   changes: nothing      exit: 0 yes, 1 no
has_systemd() { [ -d "$_root/run/systemd/system" ]; }

# ---- options -----------------------------------------------------------------------

# option NAME KIND [DEFAULT [ARG…]] - check OPT_NAME, or set it to DEFAULT when empty.
#   Without DEFAULT the option is required; an empty DEFAULT leaves it empty.
#     int DEFAULT MIN MAX     whole number            bool    becomes true or false
#     enum DEFAULT WORD…      one of the words        size    512, 64k, 1g: see to_bytes
#     match DEFAULT REGEX TEXT  TEXT says what fits   duration  90, 30s, 1h30m: see to_seconds
#     path   absolute         name    of a user, database   address  IP or host name
#     words  separated by spaces      text  one line   lines  many   secret  never shown
#   changes: OPT_NAME      exit: 0, or ends the script with 1 and says what is allowed
option() {
  local name=$1 kind=$2 var=OPT_${1^^} value want shown
  value=${!var:-}
  want=$(_option_want "$kind" "${@:4}")
  if [ -z "$value" ]; then
    [ $# -ge 3 ] || die "option $name is required: give $want"
    value=$3
  fi
  if [ -n "$value" ]; then
    shown="\"$value\""
    [ "$kind" != secret ] || shown='this value'
    _option_fits "$kind" "$value" "${@:4}" || die "option $name: $shown is not allowed: give $want"
    case $kind in
      int) value=$((10#$value)) ;;
      bool) case ${value,,} in true | yes | on | 1) value=true ;; *) value=false ;; esac ;;
    esac
  fi
  printf -v "$var" %s "$value"
}

_option_want() { # KIND [ARG…]: what the kind allows, for the error
  case $1 in
    int) echo "a whole number from ${2:-0} to ${3:-any}" ;;
    bool) echo 'true or false' ;;
    enum) printf 'one of: %s\n' "${*:2}" ;;
    match) echo "$3" ;;
    size) echo 'a size such as 512m or 2g' ;;
    duration) echo 'a duration such as 90s, 10m or 1h30m' ;;
    path) echo 'an absolute path of letters, digits and . _ / @ + = : , -, without ..' ;;
    name) echo 'a name of small letters, digits, _ and -, 32 at most, beginning with a letter or _' ;;
    address) echo 'an IP address or a host name' ;;
    words) echo 'words of letters, digits and . + : _ -, separated by spaces' ;;
    text | secret) echo 'one line of text without control characters' ;;
    lines) echo 'lines of text without control characters' ;;
    *) die "lib.sh: there is no option kind $1" ;;
  esac
}

_option_fits() { # KIND VALUE [ARG…]
  local word
  case $1 in
    int)
      [[ $2 =~ ^[0-9]{1,15}$ ]] || return 1
      [ $((10#$2)) -ge "${3:-0}" ] && [ $((10#$2)) -le "${4:-999999999999999}" ]
      ;;
    bool) [[ ${2,,} =~ ^(true|false|yes|no|on|off|1|0)$ ]] ;;
    enum)
      for word in "${@:3}"; do [ "$word" != "$2" ] || return 0; done
      return 1
      ;;
    match) [[ $2 =~ ^($3)$ ]] && [[ $2 != *$'\n'* ]] ;;
    size) [[ $2 =~ ^[0-9]{1,12}[kKmMgGtT]?$ ]] ;;
    duration) [[ $2 =~ ^([0-9]{1,6}|([0-9]{1,6}[smh])+)$ ]] ;;
    path) [[ $2 =~ ^/[A-Za-z0-9._/@+=:,-]*$ ]] && [[ /$2/ != */../* ]] ;;
    name) [[ $2 =~ ^[a-z_][a-z0-9_-]{0,31}$ ]] ;;
    address) [[ $2 =~ ^[A-Za-z0-9]?[A-Za-z0-9.:-]*$ ]] ;;
    words) [[ $2 =~ ^[A-Za-z0-9.+:_\ -]*$ ]] ;;
    text | secret) [[ $2 != *[[:cntrl:]]* ]] ;;
    lines) [[ ${2//[$'\n\t']/} != *[[:cntrl:]]* ]] ;;
  esac
}

# to_bytes SIZE - print 64k, 512m, 2g, 1t as a number of bytes (1k = 1024)
#   changes: nothing      exit: 0
to_bytes() {
  local n=${1%[kKmMgGtT]} power=0
  case $1 in *[kK]) power=1 ;; *[mM]) power=2 ;; *[gG]) power=3 ;; *[tT]) power=4 ;; esac
  echo $((10#$n * 1024 ** power))
}

# to_seconds DURATION - print 90, 30s, 10m, 1h30m as a number of seconds
#   changes: nothing      exit: 0
to_seconds() {
  local rest=$1 total=0
  while [[ $rest =~ ^([0-9]+)([smh]?)(.*)$ ]]; do
    rest=${BASH_REMATCH[3]}
    case ${BASH_REMATCH[2]} in
      h) total=$((total + 10#${BASH_REMATCH[1]} * 3600)) ;;
      m) total=$((total + 10#${BASH_REMATCH[1]} * 60)) ;;
      *) total=$((total + 10#${BASH_REMATCH[1]})) ;;
    esac
  done
  echo "$total"
}

# is_loopback ADDRESS… - does each one mean this machine only?
#   changes: nothing      exit: 0 yes, 1 no
is_loopback() {
  local a
  for a; do
    case $a in 127.* | ::1 | -::1 | localhost) ;; *) return 1 ;; esac
  done
}

# ---- packages ----------------------------------------------------------------------

# pkg_installed NAME - is the package installed and configured?
#   changes: nothing      exit: 0 yes, 1 no
pkg_installed() {
  case $OS_FAMILY in
    debian) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    redhat) rpm -q --whatprovides "$1" >/dev/null 2>&1 ;;
    *) return 1 ;;
  esac
}

# pkg_available NAME - does this release have the package?
#   changes: the package lists, when they are old      exit: 0 yes, 1 no
pkg_available() {
  case $OS_FAMILY in
    debian)
      _apt_update
      [[ $(apt-cache policy "$1" 2>/dev/null) == *Candidate:\ [!\(]* ]]
      ;;
    redhat) dnf -q list "$1" >/dev/null 2>&1 ;;
    *) return 1 ;;
  esac
}

# pkg_install NAME… - install what is missing, without recommended extras.
#   deb:NAME and rpm:NAME are for that family alone; deb?:NAME and rpm?:NAME also
#   only where the release has the package. On Debian new services are held back
#   until svc_up starts them, configured; timers are not.
#   changes: packages, package lists
#   exit: 0; 75 ends the script when the mirror cannot be reached; else not 0
pkg_install() {
  local item name want=()
  _unguard
  for item; do
    name=$item
    case $item in
      deb:* | deb\?:*) [ "$OS_FAMILY" = debian ] || continue ;;
      rpm:* | rpm\?:*) [ "$OS_FAMILY" = redhat ] || continue ;;
    esac
    case $item in deb:* | rpm:* | deb\?:* | rpm\?:*) name=${item#*:} ;; esac
    ! pkg_installed "$name" || continue
    case $item in deb\?:* | rpm\?:*) pkg_available "$name" || continue ;; esac
    want+=("$name")
  done
  [ ${#want[@]} -gt 0 ] || return 0
  case $OS_FAMILY in
    debian) _apt_install "${want[@]}" ;;
    redhat) dnf -y -q --setopt=install_weak_deps=False install "${want[@]}" </dev/null >&2 ;;
    *) die "no package manager is known for $OS_ID: install ${want[*]} another way" ;;
  esac
  changed "installed ${want[*]}"
}

# apt-get, waiting up to ten minutes for others. Its own lock timeout covers only
# dpkg's front-end lock; those on lists/ and archives/ fail at once.
_apt() {
  local end=$((SECONDS + 600)) status
  while :; do
    status=0
    apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
      -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
      -o APT::Install-Recommends=false "$@" </dev/null >"$SCRATCH/.apt" 2>&1 || status=$?
    cat "$SCRATCH/.apt" >&2
    [ "$status" != 0 ] || return 0
    # apt words this like a lock that another process holds, but waiting does not help
    ! grep -q '^E: .*Permission denied' "$SCRATCH/.apt" || die 'installing packages needs root: apt may not open its files'
    grep -qE 'Could not get lock|was locked by another process' "$SCRATCH/.apt" || return "$status"
    [ "$SECONDS" -lt "$end" ] || retry_later 'apt is locked by another process'
    log 'apt is busy: waiting'
    sleep 5
  done
}

# The lists are good for six hours, unless an install finds otherwise.
_apt_update() { # [now]
  local stamp=$_root/var/lib/apt/startup-agent-updated try
  if [ "${1:-}" != now ] && [ -n "$(find "$stamp" -mmin -360 2>/dev/null)" ]; then return 0; fi
  for try in 1 2 3; do
    if _apt -o APT::Update::Error-Mode=any update; then
      : >"$stamp"
      return 0
    fi
    log "apt-get update did not work (try $try of 3)"
    sleep $((try * 3))
  done
  retry_later 'apt-get update does not work: is there a way to the package mirror?'
}

_apt_install() {
  _apt_update
  # dpkg was cut off last time: apt would refuse to go on
  if [ -n "$(find "$_root/var/lib/dpkg/updates" -type f 2>/dev/null)" ]; then
    _guard
    dpkg --configure -a </dev/null >&2
  fi
  _guard
  if ! _apt install "$@"; then
    _apt_update now # old lists ask for files that the mirror no longer has
    if ! _apt install "$@"; then
      ! grep -qE 'Failed to fetch|Temporary failure|Could not (connect|resolve)' "$SCRATCH/.apt" ||
        retry_later "cannot fetch $*"
      return 1
    fi
  fi
  _unguard
}

# Debian starts services as it installs them. The guard denies that, unless the
# machine has its own policy; _unguard also removes one that a killed run left.
_guard() {
  [ ! -e "$_policy" ] || return 0
  cat >"$_policy.new" <<POLICY
#!/bin/sh
$_policy_mark
case \$1 in *.timer | *.target | *.path) exit 104 ;; esac
for word; do [ "\$word" != start ] || exit 101; done
exit 104
POLICY
  chmod 0755 "$_policy.new"
  mv "$_policy.new" "$_policy"
  _guarded=1
}
_unguard() { ! grep -qsxF "$_policy_mark" "$_policy" || rm -f "$_policy"; }

# ---- files -------------------------------------------------------------------------

# put_file FILE [MODE [OWNER[:GROUP]]] <CONTENT - make FILE have exactly this content.
#   MODE is 0644 unless given; without OWNER an existing file keeps its own.
#   changes: FILE (whole or not at all), its missing folders, the dirty mark
#   exit: 0, or not 0 and FILE is as before
put_file() {
  local file=$1 mode=${2:-0644} owner=${3:-} new
  _writable "$file"
  mkdir -p "${file%/*}"
  new=$(mktemp "${file%/*}/.startup.XXXXXX")
  if ! _fill "$new" "$file" "$mode" "$owner"; then
    rm -f "$new"
    return 1
  fi
  if [ -f "$file" ] && cmp -s "$new" "$file" &&
    [ "$(stat -c %a:%u:%g "$new")" = "$(stat -c %a:%u:%g "$file")" ]; then
    rm -f "$new"
    return 0
  fi
  mark_dirty
  sync "$new" 2>/dev/null || true # old coreutils sync everything or nothing
  if ! mv -fT "$new" "$file"; then
    rm -f "$new"
    return 1
  fi
  changed "wrote $file"
}

_writable() { # FILE
  [ -z "$_root" ] || [[ $1 == "$_root"/* ]] || die "lib.sh: $1 is outside of STARTUP_LIB_ROOT: a test went too far"
}

_fill() { # NEW FILE MODE OWNER
  cat >"$1" || return 1
  if [ -n "$4" ]; then
    chown "$4" "$1" || return 1
  elif [ -e "$2" ]; then
    chown --reference="$2" "$1" || return 1
  fi
  chmod "$3" "$1" # after chown, which clears bits
}

# put_line FILE LINE [REGEX] - have LINE in FILE once. The first line that matches
#   REGEX (extended, awk's) becomes LINE and further ones go; else LINE is appended.
#   changes: FILE (whole or not at all), the dirty mark      exit: 0, or not 0
put_line() {
  local file=$1 mode=0644
  if [ ! -e "$file" ]; then
    put_file "$file" <<<"$2"
    return
  fi
  mode=$(stat -c %a "$file")
  LINE=$2 REGEX=${3:-} awk '
    $0 == ENVIRON["LINE"] || (ENVIRON["REGEX"] != "" && $0 ~ ENVIRON["REGEX"]) {
      if (!done) print ENVIRON["LINE"]
      done = 1
      next
    }
    { print }
    END { if (!done) print ENVIRON["LINE"] }' "$file" >"$SCRATCH/.lines"
  put_file "$file" "$mode" <"$SCRATCH/.lines"
}

# drop_file FILE - have no FILE
#   changes: FILE, the dirty mark      exit: 0
drop_file() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  _writable "$1"
  mark_dirty
  rm -f "$1"
  changed "removed $1"
}

# put_dir DIR [MODE [OWNER[:GROUP]]] - have a folder with this mode (0755) and owner
#   changes: DIR and missing folders above it      exit: 0, or not 0
put_dir() {
  local dir=$1 mode=${2:-0755} owner=${3:-} before=
  _writable "$dir"
  [ ! -d "$dir" ] || before=$(stat -c %a:%u:%g "$dir")
  mkdir -p "$dir"
  [ -z "$owner" ] || chown "$owner" "$dir"
  chmod "$mode" "$dir"
  [ "$before" = "$(stat -c %a:%u:%g "$dir")" ] || changed "folder $dir"
}

# download URL SHA256 FILE [MODE] - have the file with this digest, fetched if need be
#   changes: FILE (whole and verified, or not at all), the dirty mark
#   exit: 0; ends the script with 75 when the server cannot be reached, 1 on a wrong digest
download() {
  local url=$1 sha256=$2 file=$3 mode=${4:-0644} got="$SCRATCH/.download"
  [[ $sha256 =~ ^[0-9a-f]{64}$ ]] || die "download of $file: the digest must be 64 hex digits"
  if [ -f "$file" ] && echo "$sha256  $file" | sha256sum -c --status; then return 0; fi
  curl -fsSL --proto '=http,https' --retry 5 --retry-connrefused --connect-timeout 10 \
    --speed-limit 1 --speed-time 60 -o "$got" -- "$url" || retry_later "cannot download $file"
  echo "$sha256  $got" | sha256sum -c --status || {
    rm -f "$got"
    die "download of $file: its sha256 is not $sha256: the file changed, or somebody changed it"
  }
  put_file "$file" "$mode" <"$got"
  rm -f "$got"
}

# ---- users -------------------------------------------------------------------------

# put_user NAME [USERADD-ARG…] - have the user; an existing one stays as it is
#   changes: users      exit: 0, or useradd's
put_user() {
  ! id -u "$1" >/dev/null 2>&1 || return 0
  useradd "${@:2}" "$1"
  changed "user $1"
}

# ---- services ----------------------------------------------------------------------

# svc_up [--reload] UNIT… - have each UNIT enabled, running, and running with the files
#   put above: restarted (or reloaded) when the module is dirty. All units that use
#   the files belong into one call: it ends by calling the module clean.
#   changes: the services, the dirty mark
#   exit: 0 when all are active, or will be when the agent is done, as they are ordered
#   after it; else 1 after showing the last log lines of one
svc_up() {
  local unit how=restart
  if [ "$1" = --reload ]; then
    how=reload
    shift
  fi
  # not only when NeedDaemonReload says so: it does not see the first drop-in of a unit
  if has_systemd && is_dirty; then systemctl daemon-reload; fi
  for unit; do
    if ! systemctl -q is-enabled "$unit" 2>/dev/null; then
      systemctl -q enable "$unit"
      changed "enabled $unit"
    fi
    if ! has_systemd; then
      log "systemd is not running here: $unit is enabled, and starts at boot"
    else
      _svc_start "$unit" "$how"
    fi
  done
  ! has_systemd || mark_clean
}

_svc_start() { # UNIT restart|reload
  local verb=start said="started $1"
  if systemctl -q is-active "$1"; then
    is_dirty || return 0
    verb=$2 said="$2 of $1"
  else
    systemctl reset-failed "$1" 2>/dev/null || true
  fi
  if _waits_for_agent "$1"; then
    systemctl --no-block "$verb" "$1"
    log "$1 is ordered after the agent: its $verb comes when the agent is done"
    return 0
  fi
  systemctl "$verb" "$1" || _svc_failed "$1"
  changed "$said"
  # not the exit status of start: that is 0 too when a Condition of the unit fails
  systemctl -q is-active "$1" || _svc_failed "$1"
}

# Would a start of UNIT wait for the agent, which waits for it here, for ever? It
# waits for those units it is ordered after that have a job: they are in the queue,
# or get there because UNIT needs them and they are not active. These wait likewise.
_waits_for_agent() { # UNIT
  local agent=startup-agent.service running='' self unit kind id needs
  local -A after=() seen=()
  local -a todo=()
  while read -r _ unit kind _; do
    case $kind in start | restart | reload* | verify-active) todo+=("$unit") ;; esac
    [ "$unit" != "$agent" ] || running=1
  done < <(systemctl list-jobs --no-legend --full)
  [ -n "$running" ] || return 1
  self=$(systemctl show -p Id --value -- "$1") # it may be an alias
  _unit_edges "${todo[@]}"
  todo=("$self")
  while [ ${#todo[@]} -gt 0 ]; do
    needs=
    _unit_edges "${todo[@]}"
    todo=()
    for unit in $needs; do
      [ -n "${after[$unit]+known}" ] || todo+=("$unit")
      after[$unit]=${after[$unit]:-}
    done
  done
  todo=("$self")
  while [ ${#todo[@]} -gt 0 ]; do
    id=${todo[0]}
    todo=("${todo[@]:1}")
    for unit in ${after[$id]:-}; do
      [ "$unit" != "$agent" ] || return 0
      [ -n "${seen[$unit]:-}" ] || todo+=("$unit")
      seen[$unit]=1
    done
  done
  return 1
}

# Puts into after, of _waits_for_agent, what each UNIT is ordered after, and into needs
# what it pulls in; not of one that is active and has no job, for which nobody waits.
_unit_edges() { # UNIT…
  local line id='' order='' pulls='' state='' job=''
  while IFS= read -r line; do
    case $line in
      Id=*) id=${line#*=} ;;
      After=*) order=${line#*=} ;;
      Requires=* | BindsTo=* | Wants=*) pulls+=" ${line#*=}" ;;
      ActiveState=*) state=${line#*=} ;;
      Job=[1-9]*) job=queued ;;
      '')
        if [ "$state" != active ] || [ -n "$job" ] || [ "$id" = "$self" ]; then
          after[$id]=$order needs+=$pulls
        fi
        id='' order='' pulls='' state='' job=''
        ;;
    esac
  done < <(systemctl show -p Id -p After -p Requires -p BindsTo -p Wants -p ActiveState -p Job -- "$@" && echo)
}

_svc_failed() {
  systemctl status --no-pager -n 0 "$1" >&2 || true
  journalctl --no-pager -o cat -n 30 -u "$1" >&2 || true
  die "$1 does not run: its last messages are above"
}

# ---- waiting and asking ------------------------------------------------------------

# wait_for DURATION COMMAND… - until COMMAND succeeds, asked twice a second
#   changes: nothing of its own      exit: 0, or 1 when the time is over
wait_for() {
  local end
  end=$((SECONDS + $(to_seconds "$1")))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then
      echo "gave up waiting for: $1" >&2
      return 1
    fi
    sleep 0.5
  done
}

# port_open PORT [HOST] - does something accept TCP connections there (127.0.0.1)?
#   changes: nothing      exit: 0 yes, else no
port_open() { (exec 3<>"/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null; }

# http_get HOST PORT PATH - print the body of a 200 answer; needs no curl
#   changes: nothing      exit: 0 on a 200, else 1
http_get() (
  status='' line=''
  exec 3<>"/dev/tcp/$1/$2" || exit 1
  printf 'GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n' "$3" "$1" >&3
  read -r -t 10 _ status _ <&3 || true
  if [ "$status" != 200 ]; then
    echo "http://$1:$2$3 answered ${status:-nothing}" >&2
    exit 1
  fi
  while IFS= read -r -t 10 line <&3 && [ -n "${line%$'\r'}" ]; do :; done
  timeout 10 cat <&3
)

# ---- at load -----------------------------------------------------------------------

trap '_on_error "$?" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND"' ERR
trap _on_exit EXIT
OS_ID=$(_os_release ID) OS_VERSION=$(_os_release VERSION_ID) OS_FAMILY=unknown
case " $OS_ID $(_os_release ID_LIKE) " in
  *' debian '* | *' ubuntu '*) OS_FAMILY=debian ;;
  *' amzn '* | *' fedora '* | *' rhel '* | *' centos '*) OS_FAMILY=redhat ;;
esac
case $(uname -m) in
  x86_64) ARCH=amd64 ;;
  aarch64) ARCH=arm64 ;;
  *) ARCH=$(uname -m) ;;
esac
export OS_ID OS_VERSION OS_FAMILY ARCH
