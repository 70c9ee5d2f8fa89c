#!/usr/bin/env bash
# The world of a page's reader, in a mount namespace of its own: see pages_test.go.
#
#     world.sh SCRIPT
set -eo pipefail
: "${WORLD:?}" "${PROGRAMS:?}" "${METADATA:?}" "${USERDATA:?}"
repository=$PWD

# What is written below these is thrown away.
mkdir "$WORLD/upper"
mount -t tmpfs tmpfs "$WORLD/upper"
for dir in etc usr var; do
  mkdir "$WORLD/upper/$dir" "$WORLD/upper/$dir.work"
  mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$WORLD/upper/$dir,workdir=$WORLD/upper/$dir.work" "/$dir"
done
mount -t tmpfs tmpfs /run

# A clone of the repository, in which the module java does not take minutes to install it.
mkdir "$WORLD/clone"
git -C "$repository" ls-files -co --exclude-standard -z | tar -C "$repository" -c --null -T - | tar -C "$WORLD/clone" -x
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
