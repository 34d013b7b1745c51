# What every shell of the library begins with, and the main process of an attempt too.

r_home=${RDEV_HOME:-${HOME:-/tmp}/.rdev}
r_nl='
'

r_uptime() { # → r_now, milliseconds
  read -r r_x r_y </proc/uptime
  r_now=${r_x%.*}${r_x#*.}0
}

r_claim() { # FILE TEXT: writes the file if nobody did before; open(O_EXCL), no fork → 1: somebody did; 2: made, but not written
  set -C
  r_x=1
  { r_x=2 && printf '%s\n' "$2" && r_x=0; } 2>/dev/null >"$1"
  set +C
  return $r_x
}
