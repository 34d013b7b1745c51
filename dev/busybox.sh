#!/usr/bin/env bash
# busybox for the suite of pods that have nothing else: Debian's package, if there is none. The suite fails without it.
set -euo pipefail

command -v busybox >/dev/null || {
  echo 'installing busybox' >&2
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  $as_root apt-get update -qq >/dev/null
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq busybox >/dev/null
}
busybox true
