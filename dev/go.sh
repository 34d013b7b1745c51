#!/usr/bin/env bash
# Prints the path of a Go that is new enough for e2e/readers/go. It looks on the PATH and where Go and Debian install it, and installs Debian's
# golang-go if there is none.
set -euo pipefail

needs=$(sed -n 's/^go //p' "$(dirname "${BASH_SOURCE[0]}")/../e2e/readers/go/go.mod")

# The newest one that is there, as `VERSION PATH`.
newest() {
  local go
  for go in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-*/bin/go; do
    [ -x "$go" ] && echo "$(GOTOOLCHAIN=local "$go" env GOVERSION | sed 's/^go//') $go"
  done | sort -V | tail -n 1
}
is_enough() { [ -n "$1" ] && [ "$(printf '%s\n' "$needs" "${1% *}" | sort -V | head -n 1)" = "$needs" ]; }

found=$(newest || true)
if [ -z "$found" ] && command -v apt-get >/dev/null; then
  echo 'installing golang-go' >&2
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  $as_root apt-get update -qq >/dev/null
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends golang-go >/dev/null
  found=$(newest || true)
fi
is_enough "$found" || {
  echo "the readers suite needs Go $needs or newer on the PATH or in /usr/local/go; there is ${found:-none}" >&2
  exit 1
}
echo "${found#* }"
