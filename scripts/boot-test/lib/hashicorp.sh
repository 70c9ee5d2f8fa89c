# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # run.sh has what is shared
# HashiCorp Packer, where this machine has it: the shipped template's own provisioners
# on a booted Debian, in the place of an instance that Amazon would start.

hashicorp_packer() {
  if ! command -v packer >/dev/null; then
    say "skipped: HashiCorp Packer is not here (apt-get install packer)"
    return
  fi
  machine_new "$name" "$plain"
  # What Amazon's images have and a minimal Debian does not.
  install -m 0755 /dev/stdin "$image/usr/local/bin/sudo" <<<$'#!/bin/sh\nexec "$@"'
  machine_on
  mkdir -p "$scratch/bake" "$scratch/packages"
  cp "$deb" "$scratch/packages/"
  cp "$top/scripts/bake/provision.sh" "$scratch/bake/"
  for_any_packer >"$scratch/bake/amazon.pkr.hcl"
  expect "the template is valid" packer_there validate "$scratch/bake/amazon.pkr.hcl"
  on_null_builder >"$scratch/bake/test.pkr.hcl"
  expect "it is on a machine that is there" packer_there validate "$scratch/bake/test.pkr.hcl"
  expect "its provisioners bake a machine" packer_there build -color=false "$scratch/bake/test.pkr.hcl"
  expect "bake-check finds nothing" on startup-agent bake-check
  expect "the unit is enabled" on systemctl is-enabled startup-agent
  expect "nothing is left of the way in" on test ! -e /tmp/startup-agent
}

# for_any_packer: the template without what only newer versions than Debian's know.
for_any_packer() {
  awk '
    /^packer [{]/ {end = "}"}
    /^  metadata_options/ {end = "  }"}
    !end && !/imds_support/
    $0 == end {end = ""}
  ' "$top/scripts/bake/startup-agent.pkr.hcl"
}

# on_null_builder: the template with another source: a machine that is there already.
on_null_builder() {
  cat <<HCL
source "null" "machine" {
  communicator         = "ssh"
  ssh_host             = "$address"
  ssh_username         = "root"
  ssh_private_key_file = "$work/login"
}
HCL
  awk '
    /^(packer|source) / {inside = 1}
    !inside {print}
    /^}/ {inside = 0}
  ' "$top/scripts/bake/startup-agent.pkr.hcl" | sed 's/^  sources = .*/  sources = ["source.null.machine"]/'
}

packer_there() {
  ip netns exec "${world}c" env HOME="$scratch" PACKER_CONFIG_DIR="$scratch" CHECKPOINT_DISABLE=1 \
    packer "$1" -var "packages=$scratch/packages" "${@:2}"
}
