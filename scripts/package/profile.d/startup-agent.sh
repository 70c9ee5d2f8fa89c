#!/bin/sh
# One line at login while this machine's start-up runs, or after it has failed;
# nothing when all is well. Sourced by login shells of any kind: it sets no
# variable that lasts, and starts no program.

startup_agent_notice() {
  case $- in
  *i*) ;;
  *) return 0 ;;
  esac
  while IFS= read -r startup_agent_line; do
    case $startup_agent_line in
    '  "state": "running",'*)
      echo 'startup-agent: this machine is still starting up: see startup-agent status'
      break
      ;;
    '  "state": "failed",'* | '  "state": "interrupted",'*)
      echo 'startup-agent: this machine did not start up as it should: see startup-agent status'
      break
      ;;
    '  "state": '*) break ;;
    esac
  done 2>/dev/null <"${STARTUP_AGENT_STATUS:-/run/startup-agent/status.json}"
  unset startup_agent_line
}
if [ -r "${STARTUP_AGENT_STATUS:-/run/startup-agent/status.json}" ]; then
  startup_agent_notice
fi
unset -f startup_agent_notice
