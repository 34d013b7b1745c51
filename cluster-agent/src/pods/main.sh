# The main process of an attempt, until its orders make it what the attempt runs. With common.sh it is a program: SLOT UMASK LIFE.

# Its orders come as shell text from a fifo: the call of r_begin, then the script. OFFSET makes the agent's wall time of uptime.
r_begin() { # NAME FILE TIMEOUT_MS STDIN OFFSET LOCKS
  kill -0 "$PPID" 2>/dev/null || { printf '\n' >&7 && exit 0; }
  r_told=1
  r_dir=$r_home/attempts/$1
  r_uptime
  r_x="$1 $2 $3 $r_now $6"
  printf '%s\n%s\n' "$r_x" "$r_x" >&7
  # Whoever claims this decides whether the process ever runs; see r_await.
  r_claim "$r_dir/begun" "$r_now $r_slot $r_life $5" || exit 0
  if [ "$4" = - ]; then r_x=/dev/null; else r_x=$r_home/incoming/$2.stdin; fi
  exec <"$r_x" >>"$r_dir/stdout" 2>>"$r_dir/stderr" 7>&-
  unset RDEV_SLOT
  # Its temporary files are in its directory, so that they go with it.
  export RDEV_ATTEMPT="$1" TMPDIR="$r_dir/tmp"
  umask "$r_umask"
}

r_slot=$1
r_umask=$2
r_life=$3
r_told=
r_x=$r_home/spare/$1.orders
# Opened for both first: opening a fifo for reading waits for a writer, and the shell that has the orders may be gone.
exec 4<>"$r_x" 5<"$r_x" 4>&-
printf '%s\n' "$PPID $$" >&6
exec 6>&-
# They are one write of at most 4 KiB, between two lines with a word that only the shell knows. So they are whole whatever others wrote to the
# fifo before, and need no end of the fifo, which others may hold open. Read by lines: `.` would have to open the fifo once more, and that
# waits for ever once the shell has left.
r_orders=
r_mark=
while IFS= read -r r_x; do
  case $r_x in
    '#rdev-orders '*) r_orders= r_mark=${r_x#* } ;;
    "#rdev-end $r_mark") r_mark=whole && break ;;
    *) r_orders=$r_orders$r_x$r_nl ;;
  esac
done <&5
exec 5<&-
set --
[ "$r_mark" = whole ] && eval "$r_orders"
r_x=$?
# Without orders, the guard is told so; the supervisor may be gone.
[ -n "$r_told" ] || printf '\n' >&7
exit "$r_x"
