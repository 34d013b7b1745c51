# What every shell of the library begins with, and the main process of an attempt too.

r_home=${RDEV_HOME:-${HOME:-/tmp}/.rdev}
r_nl='
'

r_uptime() { # → r_now, milliseconds
  read -r r_x r_y </proc/uptime
  r_now=${r_x%.*}${r_x#*.}0
}

# Whatever is in the home may be a task's work: a fifo that blocks who opens it, a link, a directory, a word where a number belongs. Files are
# opened only after r_plain, and numbers used only after r_whole: arithmetic on other words ends the shell, in bash it can run commands.

r_drop() { # FILE…, folders without rights too
  rm -rf "$@" 2>/dev/null || { chmod -R u+rwx "$@" && rm -rf "$@"; } 2>/dev/null
}

r_plain() { # FILE → 0: it is a plain file. What else has its name is removed
  [ ! -f "$1" ] || [ -L "$1" ] || return 0
  { [ ! -e "$1" ] && [ ! -L "$1" ]; } || r_drop "$1"
  return 1
}

r_whole() { # TEXT → 0: a whole number, of milliseconds or a process id
  case $1 in '' | *[!0-9]* | 0?* | ????????????????*) return 1 ;; esac
}

r_claim() { # FILE TEXT: writes the file if nobody did before; open(O_EXCL), no fork → 1: somebody did; 2: made, but not written
  # noclobber guards plain files only.
  r_plain "$1" && return 1
  set -C
  r_x=1
  { r_x=2 && printf '%s\n' "$2" && r_x=0; } 2>/dev/null >"$1"
  set +C
  return $r_x
}
