# The part of the library that starts an attempt and follows it: what the agent calls in a spare or fresh shell. It follows supervisor.sh.

r_umask=$(umask)
umask 077

r_home_again() { # the folders of the rdev home. Whatever a task removed of them, closed or replaced is mended
  for r_x in '' /attempts /floors /incoming /spare /locks; do
    [ ! -w "$r_home$r_x/." ] || continue
    if [ -d "$r_home$r_x" ]; then chmod u+rwx "$r_home$r_x"; else rm -f "$r_home$r_x" && mkdir -p "$r_home$r_x"; fi 2>/dev/null
  done
}

# Text from this shell's own stdin up to the line MARK (its last newline belongs to it) or MARK- (it does not). Fails if cut before.
rdev_take() { # FILE MARK
  [ -w "$r_home/incoming/." ] || r_home_again
  r_first=1
  r_whole=1
  while IFS= read -r r_line; do
    case $r_line in
      "$2") r_whole=0 && { [ -n "$r_first" ] || printf '%s\n' "$r_last"; } && break ;;
      "$2-") r_whole=0 && { [ -n "$r_first" ] || printf '%s' "$r_last"; } && break ;;
    esac
    [ -n "$r_first" ] || printf '%s\n' "$r_last"
    r_first=
    r_last=$r_line
  done >"$r_home/incoming/$1"
  return $r_whole
}

# The same into r_script.
rdev_script() { # MARK
  r_script=
  while IFS= read -r r_line; do
    case $r_line in
      "$1") return 0 ;;
      "$1-") r_script=${r_script%"$r_nl"} && return 0 ;;
    esac
    r_script=$r_script$r_line$r_nl
  done
  return 1
}

# Large text: everything up to the end of stdin. A cut is an end as well, so the size is checked.
rdev_put() { # FILE BYTES
  [ -w "$r_home/incoming/." ] || r_home_again
  cat >"$r_home/incoming/$1"
  r_x=$(wc -c <"$r_home/incoming/$1")
  if [ "$((r_x))" = "$2" ]; then printf 'put\n'; else rm -f "$r_home/incoming/$1"; fi
  exit 0
}

# Everything of a start that can be done before anybody knows what will start: a detached supervisor and the main process wait for orders.
# setsid twice: the first makes its process a group leader, so the second forks, and its parent returns here at once. In the foreground, since
# what a shell starts in the background ignores INT, and so would every process of the attempt.
#
# No wait in here is for ever, also when the home is removed or one of both sides is killed at any moment. This shell waits for the main
# process with a descriptor that only reads, and the supervisor has the one that writes: without them it ends. It holds the orders open from
# before they start until it has written, so the main process finds the end of the orders when this shell is gone.
rdev_warm() { # SLOT
  [ -w "$r_home/spare/." ] || r_home_again
  r_x=$r_home/spare/$1
  r_warm=$1
  mkfifo "$r_x.orders" "$r_x.alive" "$r_x.ready" "$r_x.told" && exec 6<>"$r_x.ready" 5<"$r_x.ready" 8<>"$r_x.orders" &&
    setsid setsid sh -c "# $1$r_nl$r_text" rdev supervise "$1" "$r_umask" </dev/null >/dev/null 2>&1 5<&- 8>&- && exec 6>&- &&
    read -r r_pid r_sid <&5 && [ -n "$r_sid" ] && exec 7>/proc/self/fd/8 && exec 8>&7 7>&- 5<&- && printf 'warm\n' || printf 'cold\n'
}

# Answers one line; if `started`, this shell then is the follower from the start. FILE names the incoming script and stdin. What is on the way
# to the process is done first: one program runs, and a handful of files are written.
rdev_start() { # NAME OWNER FILE TIMEOUT_MS STDIN FOLDER LOCK HOME WALL_MS (-: none)
  kill -0 "$r_sid" || exit 1
  r_uptime
  r_wall=$(($9 - r_now))
  r_signature="$r_pid $r_warm $r_sid $2"
  r_name "$1"
  # A pod that took the name of another knows no floor of what ran there.
  if [ "$8" != - ]; then
    r_x=
    r_plain "$r_home/name" && read -r r_x 2>/dev/null <"$r_home/name"
    if [ "$r_x" != "$8" ]; then
      r_refuse "$3" moved
      return
    fi
  fi
  [ -w "$r_home/attempts/." ] && [ -w "$r_home/floors/." ] || r_home_again
  r_floor
  if [ "$r_number" -lt "$r_low" ]; then
    r_refuse "$3" floor
    return
  fi
  r_dead=
  # Looked at after the lock: whoever signed meanwhile is told of below.
  if [ "$7" != - ] && r_rivals "$7" - && [ ! -f "$r_dir/supervisor" ]; then
    r_refuse "$3" "busy $r_holder"
    return
  fi
  # Whether they were there does not matter: the signature decides.
  r_found=
  [ ! -e "$r_dir" ] || r_found=1
  umask "$r_umask"
  if [ "$6" = - ]; then mkdir "$r_dir" "$r_dir/tmp"; else mkdir "$r_dir" "$r_dir/tmp" "$HOME/$6"; fi 2>/dev/null
  umask 077
  # Looked at again: a remove may have raised it since, and had no directory to see.
  r_floor
  if [ "$r_number" -lt "$r_low" ]; then
    rmdir "$r_dir/tmp" "$r_dir" 2>/dev/null
    r_refuse "$3" floor
    return
  fi
  r_claim "$r_dir/supervisor" "$r_signature"
  r_made=$?
  # Only who has signed writes more into the directory. What else is there was put there by a task that guessed the name.
  [ "$r_made$r_found" != 01 ] || { r_drop "$r_dir"/[!s]* "$r_dir"/std* && mkdir "$r_dir/tmp"; } 2>/dev/null
  r_taken=0
  [ "$r_made" != 0 ] || [ "$7" = - ] || { r_hold "$7" "$1" || r_taken=$?; }
  if [ "$r_made" = 1 ]; then
    r_signed || [ ! -f "$r_dir/supervisor" ] || { r_nap 50 && r_signed; } # claimed by another, but not yet written
    if [ -f "$r_dir/supervisor" ]; then r_refuse "$3" "exists $r_owner"; else r_refuse "$3" "failed $(mkdir "$r_dir" 2>&1)"; fi
  elif [ "$r_taken" = 1 ]; then
    rm -rf "$r_dir"
    r_refuse "$3" "busy $r_holder"
  elif [ "$r_made$r_taken" = 00 ] && { [ "$r_number" = "$r_low" ] || printf '%s\n' "$r_number" >>"$r_home/floors/$r_task"; } &&
    printf '%255s\n' '' 2>/dev/null >"$r_dir/room" && printf '' 2>/dev/null >>"$r_dir/stdout" && printf '' 2>/dev/null >>"$r_dir/stderr" &&
    printf '\n#rdev-orders %s\n%s\n%s\n#rdev-end %s\n' "$2" "r_begin $1 $3 $4 $5 $r_wall '$r_dead'; set --" "$r_script" "$2" >&8; then
    exec 8>&-
    printf 'started\n'
    r_contact
    rdev_follow "$1" 0 0
  else
    rm -rf "$r_dir"
    r_refuse "$3" 'failed the attempt directory cannot be written'
  fi
}

r_refuse() { # FILE ANSWER
  printf '%s\n' "$2"
  rm -f "$r_home/incoming/$1.script" "$r_home/incoming/$1.stdin"
}

# The files from these offsets on, for as long as somebody holds our stdin; nothing is left behind. Only builtins wait, so that
# nothing but the tails need be killed. If the tails are killed (a sweep of followers whose far end vanished), the shell ends too.
rdev_follow() { # NAME STDOUT_OFFSET STDERR_OFFSET
  r_name "$1"
  exec 7<&0
  # A device would never end.
  r_x=$r_dir/stdout
  r_y=$r_dir/stderr
  [ -f "$r_x" ] || r_x=/dev/null
  [ -f "$r_y" ] || r_y=/dev/null
  tail -c "+$(($2 + 1))" -f "$r_x" </dev/null 2>/dev/null 7<&- &
  r_a=$!
  tail -c "+$(($3 + 1))" -f "$r_y" </dev/null >&2 2>/dev/null 7<&- &
  r_b=$!
  # For whoever removes the directory: a tail whose far end vanished without a word waits for ever.
  r_plain "$r_dir/followers"
  { printf '%s\n' "$r_a" "$r_b"; } 2>/dev/null >>"$r_dir/followers"
  { while read -r r_x; do :; done; kill "$r_a" "$r_b"; } <&7 >/dev/null 2>&1 &
  r_c=$!
  wait "$r_a" "$r_b"
  kill "$r_c" 2>/dev/null
  exit 0
}

rdev_open() { # NAME STDOUT_OFFSET STDERR_OFFSET [sizes]: with `sizes` it tells those of the files
  if [ -d "$r_home/attempts/$1" ]; then
    r_x=
    [ -z "${4-}" ] || r_x=$(cd "$r_home/attempts/$1" && r_plain stdout && r_plain stderr && { wc -c <stdout; wc -c <stderr; })
    set -- "$1" "$2" "$3" $r_x
    printf '%s\n' "open${4+ $4 $5}"
    rdev_follow "$1" "$2" "$3"
  else
    printf 'gone\n'
  fi
}

# A one-off. Its marks at the end of both streams, not the end of the streams, say that it ended.
rdev_run() { # MARK
  r_name "run.$1"
  exec 3<"$r_home/incoming/$1.script" 7<&0
  rm -f "$r_home/incoming/$1.script"
  umask "$r_umask"
  RDEV_ATTEMPT=run.$1 setsid sh /proc/self/fd/3 </dev/null 7<&- &
  r_job=$!
  umask 077
  exec 3<&-
  { while read -r r_x; do :; done; r_kill_tree "run.$1" '' - 0 0; } <&7 >/dev/null 2>&1 &
  r_c=$!
  wait "$r_job" 2>/dev/null
  r_status=$?
  kill "$r_c" 2>/dev/null
  r_kill_tree "run.$1" '' - 0 0
  printf '\n%s %s\n' "$1" "$r_status" >&2
  printf '\n%s %s\n' "$1" "$r_status"
  exit 0
}
