#!/usr/bin/env bash
# The world of a page's reader, in a mount namespace of its own: see pages_test.go.
#
#     world.sh SCRIPT
#
# FRESH is the root folder of a fresh system, for a page that begins on one. It gets
# Go and its caches, and this machine at /host, for bin/aws.
set -eo pipefail
: "${WORLD:?}" "${PROGRAMS:?}" "${METADATA:?}" "${USERDATA:?}"

# lay FOLDER OVER NAME: mounts it there, and what is written to it is thrown away.
lay() {
  mkdir -p "$WORLD/upper/$3" "$WORLD/upper/$3.work"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$WORLD/upper/$3,workdir=$WORLD/upper/$3.work" "$2"
}

if [ ! -d "$WORLD/clone" ]; then
  mkdir "$WORLD/clone" "$WORLD/upper"
  git ls-files -co --exclude-standard -z | tar -c --null -T - | tar -C "$WORLD/clone" -x
  mount -t tmpfs tmpfs "$WORLD/upper"
  if [ -n "$FRESH" ]; then
    mkdir "$WORLD/fresh"
    lay "$FRESH" "$WORLD/fresh" fresh
    for dir in /dev /proc "$WORLD" "$(go env GOROOT)" "$GOCACHE" "$GOMODCACHE" "$(dirname "${BASH_SOURCE[0]}")"; do
      mkdir -p "$WORLD/fresh$dir"
      mount --bind "$dir" "$WORLD/fresh$dir"
    done
    mkdir "$WORLD/fresh/host"
    cd "$WORLD/fresh"
    pivot_root . host # no chroot: root can have no namespaces in one
    exec bash "${BASH_SOURCE[0]}" "$1"
  fi
  for dir in etc usr var; do lay "/$dir" "/$dir" "$dir"; done
  mount -t tmpfs tmpfs /run
fi

# In the clone, the module java does not take minutes.
cd "$WORLD/clone"
rm -r modules/java
install -D -m 0755 /dev/stdin modules/java/start <<<$'#!/bin/sh\necho done'
aws s3api create-bucket --bucket bucket >/dev/null

# What a page may say is given.

# programs: both are installed, as the packages and docs/install.md do it.
programs() {
  install "$PROGRAMS/startup-packer" /usr/local/bin/
  scripts/install.sh --files-only "$PROGRAMS/startup-agent"
}

# personality: the README's web.yaml, and the module that it names.
personality() {
  programs
  install -D -m 0755 /dev/stdin site/start <<<$'#!/bin/sh\necho "the site is up on port $OPT_PORT"'
  echo 'options: {port: {default: "80", type: int}}' >site/module.yaml
  sed -n '/^    # web.yaml$/,/^$/s/^    //p' README.md >web.yaml
}

# bundle: it was packed and pushed.
bundle() {
  personality
  startup-packer pack web.yaml -o web.bundle
  startup-packer push web.bundle s3://bucket/web.bundle
}

# instance: it was launched, so this is the instance now.
instance() {
  bundle
  scripts/launch --url s3://bucket/web.bundle --key-file web.bundle.key --image-id ami-0123456789abcdef0
  export AWS_EC2_METADATA_SERVICE_ENDPOINT=$METADATA
}

# role: the instance profile of docs/iam.md.
role() {
  aws iam create-instance-profile --instance-profile-name web >/dev/null
}

# hello: a module of one's own that can be published.
hello() {
  startup-packer module new hello --modules .
  sed -i 's/^version: .*/version: 1.2.0/' hello/module.yaml
}

# shellcheck source=/dev/null
. "$1"

# No page leaves a dead link in the agent's folders.
dead=$(find /etc/startup-agent -xtype l 2>/dev/null || true)
if [ -n "$dead" ]; then
  echo "dead links: $dead"
  exit 1
fi
