# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # run.sh has what is shared
# The world of a machine: a network of two namespaces, in one of them AWS's own
# metadata mock at 169.254.169.254 and an S3 server, as an instance meets them.
# Nothing here can reach the metadata service of the machine that runs the test.

gateway=10.77.0.1 address=10.77.0.2
access=AKBOOTTEST secret=bootTestBootTestBootTest
world_pids=()

# world_up NAME: namespace NAMEc is the cloud, NAMEi the instance's.
world_up() {
  world=$1
  ip netns add "${world}c"
  ip netns add "${world}i"
  ip -n "${world}c" link set lo up
  ip -n "${world}i" link set lo up
  ip -n "${world}c" addr add 169.254.169.254/32 dev lo
  ip -n "${world}c" link add eth0 type veth peer name eth0 netns "${world}i"
  ip -n "${world}c" addr add "$gateway/24" dev eth0
  ip -n "${world}i" addr add "$address/24" dev eth0
  ip -n "${world}c" link set eth0 up
  ip -n "${world}i" link set eth0 up
  ip -n "${world}i" route add default via "$gateway"
  serve s3 "$tools/versitygw" --quiet --port "$gateway:7070" --access "$access" --secret "$secret" --region eu-central-1 posix "$work/s3"
  until_true 10 "the S3 server answers" listens "$gateway" 7070
}

world_down() {
  local pid
  for pid in "${world_pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  world_pids=()
  ip netns del "${world}i" 2>/dev/null || true
  ip netns del "${world}c" 2>/dev/null || true
}

# serve NAME PROGRAM ARG...: a server in the cloud; its process id is in $served.
serve() {
  local name=$1
  shift
  HOME=$work ip netns exec "${world}c" "$@" </dev/null >>"$logs/$case.$name.log" 2>&1 &
  served=$!
  world_pids+=("$served")
}

listens() { # ADDRESS PORT
  ip netns exec "${world}c" bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null
}

# metadata INSTANCE_ID [USERDATA_FILE]: the metadata service of that instance
# begins to answer, in place of another. It wants tokens (IMDSv2), unless
# $tokens_required is false.
metadata() {
  metadata_off
  local now expires
  now=$(date -u +%Y-%m-%dT%H:%M:%SZ) expires=$(date -u -d '+6 hours' +%Y-%m-%dT%H:%M:%SZ)
  cat >"$scratch/metadata.json" <<JSON
{"imdsv2": ${tokens_required:-true},
 "server": {"hostname": "127.0.0.1", "port": "1338"},
 "metadata": {"values": {
   "instance-id": "$1", "placement-region": "eu-central-1", "placement-availability-zone": "eu-central-1a",
   "iam-security-credentials-role": "web",
   "iam-security-credentials": {"Code": "Success", "LastUpdated": "$now", "Type": "AWS-HMAC",
     "AccessKeyId": "$access", "SecretAccessKey": "$secret", "Token": "", "Expiration": "$expires"}}},
 "dynamic": {"values": {"instance-identity-document": {"accountId": "123456789012", "architecture": "x86_64",
   "availabilityZone": "eu-central-1a", "imageId": "ami-0b69ea66ff7391e80", "instanceId": "$1",
   "instanceType": "t3.micro", "pendingTime": "$now", "privateIp": "$address", "region": "eu-central-1", "version": "2017-09-30"}}},
 "userdata": {"values": {"userdata": "$(base64 -w0 "${2:-/dev/null}")"}}}
JSON
  serve mock "$tools/ec2-metadata-mock" --config-file "$scratch/metadata.json"
  metadata_pids=("$served")
  until_true 10 "the metadata mock answers" listens 127.0.0.1 1338
  serve metadata "$work/metadata" 169.254.169.254:80 http://127.0.0.1:1338
  metadata_pids+=("$served")
  until_true 10 "the metadata service answers" listens 169.254.169.254 80
}

metadata_pids=()
metadata_off() {
  local pid
  for pid in "${metadata_pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  metadata_pids=()
}
