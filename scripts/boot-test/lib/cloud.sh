# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # run.sh has what is shared
# The cases with cloud-init on the machine.

# cloud-init asks for a token only where the hardware says EC2, which a container
# does not.
without_tokens() { tokens_required=false; }

cloud_init_ended() { on test -e /run/cloud-init/result.json; }

# warnings: cloud-init's, but for the two that the mock's metadata and this root
# bring with any userdata.
warnings() {
  on "grep -E 'WARNING|ERROR|Unhandled' /var/log/cloud-init.log" | grep -vE 'Duplicate key found|Invalid cloud-config provided'
}

beside_cloud_init() {
  without_tokens
  userdata plain
  booted "$baked_clouded" "$scratch/plain"
  until_true 90 "cloud-init has ended" cloud_init_ended
  expect "cloud-init is content" on cloud-init status
  expect_text "it found EC2's metadata" ec2 on cloud-init query cloud_id
  expect "the agent is done" on startup-agent status
  expect_text "every module ran once" "$all_done" ran
  expect_text "cloud-init warns of nothing" "" warnings
  expect_no_line "cloud-init's logs have no key" "$(head -n 1 "$work/bundle.key")" on 'cat /var/log/cloud-init*'
  expect_no_line "no ordering cycle" 'ordering cycle' on journalctl --boot --no-pager
  expect_line "bake-check finds the key that cloud-init keeps" 'cloud-init kept a start-up document' on startup-agent bake-check
  expect "its remedies" on 'startup-agent reset --all --yes && cloud-init clean --logs'
  expect "bake-check finds nothing" on startup-agent bake-check
  reboots systemctl reboot
  until_true 60 "the agent has ended" has_ended
  until_true 90 "cloud-init has ended" cloud_init_ended
  expect_text "nor after cloud-init clean" "" warnings
}

script_beside_cloud_init() {
  without_tokens
  booted "$baked_clouded" "$here/modules/first/start"
  until_true 90 "cloud-init has ended" cloud_init_ended
  expect_text "it ran once" 'first at attempt 1' ran
  expect_line "by cloud-init" 'nothing to do .*which cloud-init runs here' log_lines
}

# faster_than_cloud_init: from the start of the container to the first line of
# what the userdata asks for. Each round boots both; the medians are compared.
faster_than_cloud_init() {
  local round agent=() cloud=() agent_median cloud_median
  without_tokens
  userdata plain
  for ((round = 0; round < ${BOOT_TEST_ROUNDS:-1}; round++)); do
    booted "$baked" "$scratch/plain"
    agent+=("$(first_line)")
    [ $round -gt 0 ] || measured "the agent, bundle from S3" startup-agent
    machine_gone

    machine_new "$name" "$clouded"
    metadata "$id" "$here/modules/first/start"
    machine_on
    until_true 90 "cloud-init has ended" cloud_init_ended
    cloud+=("$(first_line)")
    [ $round -gt 0 ] || measured "cloud-init, a #! script" cloud-init-local cloud-init cloud-config cloud-final
    machine_gone
  done
  agent_median=$(median "${agent[@]}") cloud_median=$(median "${cloud[@]}")
  say "container start → first line, seconds: agent ${agent[*]}; cloud-init ${cloud[*]}"
  say "→ $(awk -v a="$agent_median" -v c="$cloud_median" 'BEGIN {printf "%.1f", c / a}') times sooner"
  expect "at least 3 times sooner" awk -v a="$agent_median" -v c="$cloud_median" 'BEGIN {exit !(c >= 3 * a)}'
}

# measured WHO UNIT...: what these units took of processor and memory.
measured() {
  local who=$1
  shift
  say "→ $who: $(on systemctl show --property=CPUUsageNSec --value "$@" |
    awk '/[0-9]/ {s += $1} END {printf "%.2f", s / 1e9}') s of processor time, $(on cat /var/lib/starter-memory |
      awk '{printf "%.0f", $2 / 1024}') MiB at most"
}

median() { printf '%s\n' "$@" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
