#!/bin/sh
# One line at login while this machine's start-up runs, or after it has failed or
# was cut off; nothing when all is well. Sourced by login shells of any kind: it
# sets no variable that lasts, and starts no program.

startup_agent_notice() {
  case $- in
  *i*) ;;
  *) return 0 ;;
  esac
  startup_agent_state='' startup_agent_boot='' startup_agent_pid=''
  while IFS= read -r startup_agent_line; do
    startup_agent_value=${startup_agent_line#*: }
    startup_agent_value=${startup_agent_value%,}
    case $startup_agent_line in
    '  "state": '*) startup_agent_state=$startup_agent_value ;;
    '  "boot_id": '*) startup_agent_boot=$startup_agent_value ;;
    '  "pid": '*) startup_agent_pid=$startup_agent_value ;;
    esac
  done 2>/dev/null <"${STARTUP_AGENT_STATUS:-/run/startup-agent/status.json}"
  case $startup_agent_state in
  '"running"')
    startup_agent_line=''
    read -r startup_agent_line 2>/dev/null </proc/sys/kernel/random/boot_id
    # Where other users' processes are hidden, the first is too.
    if [ -d /proc/1 ] && { [ "$startup_agent_boot" != "\"$startup_agent_line\"" ] || [ ! -d "/proc/$startup_agent_pid" ]; }; then
      echo 'startup-agent: the start-up of this machine was cut off: see startup-agent status'
    else
      echo 'startup-agent: this machine is still starting up: see startup-agent status'
    fi
    ;;
  '"failed"' | '"interrupted"')
    echo 'startup-agent: this machine did not start up as it should: see startup-agent status'
    ;;
  esac
  unset startup_agent_line startup_agent_value startup_agent_state startup_agent_boot startup_agent_pid
}
if [ -r "${STARTUP_AGENT_STATUS:-/run/startup-agent/status.json}" ]; then
  startup_agent_notice
fi
unset -f startup_agent_notice
