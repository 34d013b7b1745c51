#!/usr/bin/env bash
# A PostgreSQL server on loopback for the suite that needs a real one. It installs Debian's package if there is no server yet, makes a data
# directory of its own, and prints the URL. `start` is safe to repeat; `stop` ends the server and removes its data.
#   dev/postgres-server.sh start|stop|url
set -euo pipefail

home=${RDEV_POSTGRES_HOME:-${TMPDIR:-/tmp}/rdev-postgres-$(id -u)}
port=${RDEV_POSTGRES_PORT:-54329}
url="postgres://rdev@127.0.0.1:$port/rdev"

binaries() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }
# initdb refuses root; Debian's package makes the user postgres.
as_owner() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

start() {
  if [ -z "$(binaries)" ] || [ ! -x "$(binaries)/initdb" ]; then
    [ "$(id -u)" = 0 ] || { echo 'needs a PostgreSQL server (Debian: apt-get install postgresql)' >&2; exit 1; }
    echo 'installing postgresql' >&2
    apt-get update -qq
    mkdir -p /etc/postgresql-common
    # Debian would otherwise start a cluster of its own.
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
  fi
  local bin
  bin=$(binaries)
  if [ ! -e "$home/data/PG_VERSION" ]; then
    mkdir -p "$home"
    if [ "$(id -u)" = 0 ]; then chown postgres "$home"; fi
    as_owner "$bin/initdb" -D "$home/data" -U rdev --auth=trust --no-sync -E UTF8 >/dev/null
  fi
  if ! as_owner "$bin/pg_ctl" -D "$home/data" status >/dev/null 2>&1; then
    as_owner "$bin/pg_ctl" -D "$home/data" -w -l "$home/log" -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=" start >/dev/null
    as_owner "$bin/createdb" -h 127.0.0.1 -p "$port" -U rdev rdev 2>/dev/null || true
  fi
  echo "$url"
}

stop() {
  if [ -e "$home/data/PG_VERSION" ]; then
    as_owner "$(binaries)/pg_ctl" -D "$home/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$home"
  fi
}

case ${1:-} in
start) start ;;
stop) stop ;;
url) echo "$url" ;;
*) sed -n '2,4p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
