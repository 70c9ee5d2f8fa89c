# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # run.sh has what is shared
# The cases that boot machines. Each runs in its own shell, with set -e.
# $baked is the root with the package, $baked_clouded the same beside cloud-init.

id=i-0123456789abcdef0

# userdata NAME [FLAG...]: a document for the test's bundle in $scratch/NAME.
userdata() {
  local name=$1
  shift
  "$top/build/startup-packer" userdata --url s3://boot/test.bundle --key-file "$work/bundle.key" "$@" -o "$scratch/$name" 2>/dev/null
}

ran() { on sed 's/:.*//' /var/lib/ran; }
agent_state() { on systemctl is-active startup-agent; }
log_lines() { on journalctl --boot --no-pager --output=cat --unit=startup-agent; }
has_ended() { case $(agent_state) in active | failed) ;; *) return 1 ;; esac }

# booted ROOT USERDATA_FILE: a new machine, up, whose agent has ended.
booted() {
  machine_new "$name" "$1"
  metadata "$id" "${@:2}"
  machine_on
  until_true 60 "the agent has ended" has_ended
}

all_done=$'first at attempt 1\nmiddle at attempt 1\nlast at attempt 1'

first_boot() {
  userdata plain
  booted "$baked" "$scratch/plain"
  expect "status: done" on startup-agent status
  expect_text "every module ran once, in order" "$all_done" ran
  expect_text "the unit is active" active agent_state
  expect_text "the unit has not failed" active on systemctl is-failed startup-agent
  expect_text "the whole system is up" running on systemctl is-system-running --wait
  expect_line "the journal has the run's last line" 'run succeeded' log_lines
  expect_line "the journal has the modules' output" 'first at attempt 1' log_lines
  expect_line "logs shows a module's output" 'first at attempt 1' on startup-agent logs first
  expect_line "the console has the result" 'result=succeeded exit_code=0' cat "$logs/$case.console.log"
  expect_no_line "the journal has no key" "$(head -n 1 "$work/bundle.key")" on journalctl --no-pager
  expect_no_line "no ordering cycle" 'ordering cycle' on journalctl --boot --no-pager
  expect_text "the record is root's alone" '600 root' on "stat -c '%a %U' /var/lib/startup-agent/record.json"
  say "container start → first module line: $(first_line) s"
}

# first_line: seconds from the start of the container to a module's first line.
first_line() { between "$(cat "$work/$machine/began")" "$(on head -n 1 /var/lib/ran | sed 's/.*: //')"; }

second_boot() {
  userdata plain
  booted "$baked" "$scratch/plain"
  reboots systemctl reboot
  until_true 60 "the agent has ended" has_ended
  expect_text "no module ran again" "$all_done" ran
  expect_line "it says so" 'nothing to do .*taken on before' log_lines
  expect "status: done" on startup-agent status
}

module_reboots() {
  userdata reboot --env MIDDLE=reboot
  machine_new "$name" "$baked"
  metadata "$id" "$scratch/reboot"
  machine_on
  until_true 90 "the run goes on after the reboot" status_is 0
  expect_text "it went on where it was" $'first at attempt 1\nmiddle at attempt 1\nmiddle at attempt 2\nlast at attempt 1' ran
  expect_text "the unit is active" active agent_state
}

status_is() {
  local code=0
  on startup-agent status || code=$?
  [ "$code" = "$1" ]
}

# waiting: a machine whose second module waits for /var/lib/go-on.
waiting() {
  userdata waits --env MIDDLE=wait
  machine_new "$name" "$baked"
  metadata "$id" "$scratch/waits"
  machine_on
  until_true 60 "the second module runs" on grep -q '^middle' /var/lib/ran
}

agent_pid() { on systemctl show --property=MainPID --value startup-agent; }

long_run() {
  waiting
  expect_text "the unit is activating" activating agent_state
  expect_text "multi-user.target does not wait" active on systemctl is-active multi-user.target
  expect "status: it runs" status_is 3
  expect_line "the daily upgrades wait" 'After=.*startup-agent.service' on systemctl show --property=After apt-daily.service
  on touch /var/lib/go-on
  until_true 30 "the run ends" status_is 0
  expect "the agent runs again" on systemctl restart startup-agent
  expect "a daemon that a module started lives on" on 'kill -0 "$(cat /run/boot-test-daemon)"'
  expect_text "no module ran again" "$all_done" ran
}

shutdown_in_run() {
  waiting
  local began=$SECONDS
  reboots systemctl reboot
  expect "nothing held up the shutdown" [ $((SECONDS - began)) -lt 30 ]
  on touch /var/lib/go-on
  until_true 60 "the agent has ended" has_ended
  expect "the run goes on at the next boot" status_is 0
  expect_line "it ended by itself" 'run interrupted' on journalctl --boot=-1 --no-pager --output=cat --unit=startup-agent
  expect_no_line "nothing was killed" 'SIGKILL|timed out' on journalctl --boot=-1 --no-pager --output=cat --unit=startup-agent
}

killed() {
  waiting
  on "kill -KILL $(agent_pid)"
  until_true 10 "the unit has failed" on systemctl is-failed startup-agent
  reboots systemctl reboot
  on touch /var/lib/go-on
  until_true 60 "the agent has ended" has_ended
  expect "status: done" on startup-agent status
  expect_text "it went on where it was" $'first at attempt 1\nmiddle at attempt 1\nmiddle at attempt 2\nlast at attempt 1' ran
  expect_line "it says so" 'the last start was cut off' log_lines
}

late_metadata() {
  userdata plain
  machine_new "$name" "$baked"
  local began=$SECONDS
  machine_on
  expect_text "it waits" activating agent_state
  sleep $((20 - (SECONDS - began) > 0 ? 20 - (SECONDS - began) : 0))
  expect_text "it still waits" activating agent_state
  metadata "$id" "$scratch/plain"
  until_true 15 "the agent has ended" has_ended
  expect_text "every module ran" "$all_done" ran
}

no_userdata() {
  booted "$baked"
  expect "status: nothing to do" on startup-agent status
  expect_line "it says so" 'nothing to do .*no userdata' log_lines
  expect_text "the unit is active" active agent_state
  expect "no record is left" on test ! -e /var/lib/startup-agent/record.json
}

foreign_userdata() {
  printf '#cloud-config\nhostname: other\n' >"$scratch/foreign"
  booted "$baked" "$scratch/foreign"
  expect "status: nothing to do" on startup-agent status
  expect_line "it says so" 'nothing to do .*not for this agent' log_lines
  expect "no record is left" on test ! -e /var/lib/startup-agent/record.json
}

script_userdata() {
  booted "$baked" "$here/modules/first/start"
  expect "status: done" on startup-agent status
  expect_text "it ran" 'first at attempt 1' ran
  reboots systemctl reboot
  until_true 60 "the agent has ended" has_ended
  expect_text "it ran once" 'first at attempt 1' ran
}

cloned() {
  userdata plain
  booted "$baked" "$scratch/plain"
  machine_off
  metadata i-0fedcba9876543210 "$scratch/plain"
  machine_on
  until_true 60 "the agent has ended" has_ended
  expect_text "the clone took on its role itself" "$all_done"$'\n'"$all_done" ran
  expect_line "the record is the clone's" i-0fedcba9876543210 on startup-agent status --json
}

# rebaked: bake-check refuses a machine with a past, until it is reset.
rebaked() {
  userdata plain
  booted "$baked" "$scratch/plain"
  expect_line "bake-check finds the past" 'the record of a run is left' on startup-agent bake-check
  expect "reset cleans" on startup-agent reset --all --yes
  expect "bake-check finds nothing" on startup-agent bake-check
}

upgraded_in_run() {
  waiting
  local before
  before=$(agent_pid)
  install -m 0644 "$newer_deb" "$image/root/newer.deb"
  expect "the upgrade succeeds" on dpkg -i /root/newer.deb
  expect_text "the run goes on, not restarted" "$before" agent_pid
  on touch /var/lib/go-on
  until_true 30 "the run ends" status_is 0
  expect_text "no module ran twice" "$all_done" ran
}
