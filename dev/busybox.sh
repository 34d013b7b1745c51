#!/usr/bin/env bash
# A busybox that needs no library, for two users: the suite of pods that have nothing else, and the test cluster, which copies the program
# alone into the image that holds a pod's namespaces. Debian's `busybox` is linked to libc and would not start there; `busybox-static` does.
set -euo pipefail

static() { command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1; }

static || {
  echo 'installing busybox-static' >&2
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  $as_root apt-get update -qq >/dev/null
  # It takes the place of Debian's `busybox`.
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq busybox-static >/dev/null
}
static || {
  echo "$(command -v busybox || echo busybox) needs libraries: the suites need busybox-static" >&2
  exit 1
}
busybox true
