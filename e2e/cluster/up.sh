#!/usr/bin/env bash
# Starts the test cluster and puts the claudebox image on its node; prints what to run then. Safe to repeat: what exists already is not changed.
#
#   RDEV_CLUSTER_SCRIPT   the cluster's script; default ../shared/cluster/cluster beside this repository
#   RDEV_IMAGE_CACHE      where built images are kept; default ~/.cache/rdev-images
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cluster=${RDEV_CLUSTER_SCRIPT:-$(dirname "$repository")/shared/cluster/cluster}
cache=${RDEV_IMAGE_CACHE:-${HOME:-/root}/.cache/rdev-images}
image=localhost/claudebox:1
source=$repository/images/claudebox

say() { printf 'e2e/cluster: %s\n' "$*" >&2; }

[ -x "$cluster" ] || { say "no cluster script at $cluster (set RDEV_CLUSTER_SCRIPT)"; exit 1; }
"$repository/dev/busybox.sh"
# Each `tail -f` takes one, in pods and in suites beside; containerd that finds none left starts without its runtime service. Most nodes have more.
if [ "$(cat /proc/sys/fs/inotify/max_user_instances)" -lt 1024 ]; then
  sysctl -q -w fs.inotify.max_user_instances=1024 || say 'fs.inotify.max_user_instances stays low'
fi
kubeconfig=$("$cluster" up)

# The hash of the image's directory tells whether the image is up to date: it is a mark on the node and the name of the archive.
hash=$(cd "$source" && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-16)
archive=$cache/claudebox-$hash.tar
loaded=$("$cluster" kubectl --kubeconfig "$kubeconfig" get node node -o 'jsonpath={.metadata.annotations.rdev\.test/claudebox}')

if [ "$loaded" = "$hash" ]; then
  say "$image is on the node"
else
  if [ -e "$archive" ]; then
    say "loading $image from $archive"
    "$cluster" image "$archive"
  else
    say "building $image (a minute or two, once)"
    # Behind a proxy with its own certificate authority, the build needs the same certificates as this computer.
    flags=(--layers)
    if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then flags+=(--secret "id=ca,src=$NODE_EXTRA_CA_CERTS"); fi
    "$cluster" build "$image" "$source" "${flags[@]}"
    mkdir -p "$cache"
    rm -f "$cache"/claudebox-*.tar
    buildah push -q "$image" "docker-archive:$archive.new:$image" && mv "$archive.new" "$archive"
  fi
  "$cluster" kubectl --kubeconfig "$kubeconfig" annotate --overwrite node node "rdev.test/claudebox=$hash" >/dev/null
fi

echo "$cluster exec env KUBECONFIG=$kubeconfig npm run test:cluster"
