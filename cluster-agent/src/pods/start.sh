# The part of the library that starts an attempt and follows it; the agent calls it in a spare or fresh shell. The library has it after
# supervisor.sh. The supervisor's own program does not read it.

r_home_again() { # makes the folders of the home, also if they were removed
  mkdir -p "$r_home/lib" "$r_home/attempts" "$r_home/floors" "$r_home/incoming" "$r_home/spare" "$r_home/locks"
}

rdev_install() { # HASH
  r_home_again
  printf '%s' "$r_text" >"$r_home/lib/$1.$$" && mv "$r_home/lib/$1.$$" "$r_home/lib/$1.sh"
  r_lib=$r_home/lib/$1.sh
}

# Writes text from this shell's stdin up to the line MARK, or MARK-, which means that the text has no newline at its end. Fails if stdin ends before.
rdev_take() { # FILE MARK
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

# The same into the variable r_script.
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

# Writes large text: everything up to the end of stdin. A cut stream ends too, so the size is checked.
rdev_put() { # FILE BYTES
  cat >"$r_home/incoming/$1"
  r_x=$(wc -c <"$r_home/incoming/$1")
  if [ "$((r_x))" = "$2" ]; then printf 'put\n'; else rm -f "$r_home/incoming/$1"; fi
  exit 0
}

# Does all of a start that does not depend on the attempt: a detached supervisor and the main process wait for orders.
# setsid twice: the first makes its process a group leader, so the second forks and its parent returns at once. It runs in the foreground,
# because what a shell starts in the background ignores INT (POSIX), and so would every process of the attempt.
rdev_warm() { # SPARE
  [ -d "$r_home/spare" ] || r_home_again
  r_x=$r_home/spare/$1
  r_warm=$1
  mkfifo "$r_x.orders" "$r_x.alive" "$r_x.ready" "$r_x.told" && exec 6<>"$r_x.ready" &&
    setsid setsid sh "$r_lib" supervise "$1" "$r_umask" "$r_lib" </dev/null >/dev/null 2>&1 6>&- &&
    read -r r_pid r_sid <&6 && [ -n "$r_sid" ] && exec 8>"$r_x.orders" 6>&- && printf 'warm\n' || printf 'cold\n'
}

# Answers one line. After `started` this shell is the follower from the beginning. FILE names the incoming script and stdin. Only one program
# runs and a few files are written before the process begins.
rdev_start() { # NAME OWNER FILE TIMEOUT_MS STDIN FOLDER LOCK HOME (-: none)
  kill -0 "$r_sid" || exit 1
  r_signature="$r_pid $r_warm $r_sid $2"
  r_name "$1"
  # A later pod of the same name has no floors of what ran in the earlier one, so a start for another home is refused.
  if [ "$8" != - ]; then
    r_x=
    read -r r_x 2>/dev/null <"$r_home/name"
    if [ "$r_x" != "$8" ]; then
      r_refuse "$3" moved
      return
    fi
  fi
  r_floor
  if [ "$r_number" -lt "$r_low" ]; then
    r_refuse "$3" floor
    return
  fi
  r_dead=
  # A directory that is signed already is answered below.
  if [ "$7" != - ] && r_rivals "$7" - && [ ! -f "$r_dir/supervisor" ]; then
    r_refuse "$3" "busy $r_holder"
    return
  fi
  # The folders may exist already: the signature decides. The folder above r_dir is private, so the usual umask is safe.
  umask "$r_umask"
  if [ "$6" = - ]; then mkdir "$r_dir"; else mkdir "$r_dir" "$HOME/$6"; fi 2>/dev/null
  umask 077
  # Read the floor again: a remove may have raised it meanwhile, before this directory existed.
  r_floor
  if [ "$r_number" -lt "$r_low" ]; then
    rmdir "$r_dir" 2>/dev/null
    r_refuse "$3" floor
    return
  fi
  r_claim "$r_dir/supervisor" "$r_signature"
  r_made=$?
  r_taken=0
  [ "$r_made" != 0 ] || [ "$7" = - ] || { r_hold "$7" "$1" || r_taken=$?; }
  if [ "$r_made" = 1 ]; then
    r_signed || [ ! -f "$r_dir/supervisor" ] || { r_nap 50 && r_signed; } # another start created it and has not written it yet
    if [ -f "$r_dir/supervisor" ]; then r_refuse "$3" "exists $r_owner"; else r_refuse "$3" "failed $(mkdir "$r_dir" 2>&1)"; fi
  elif [ "$r_taken" = 1 ]; then
    rm -rf "$r_dir"
    r_refuse "$3" "busy $r_holder"
  elif [ "$r_made$r_taken" = 00 ] && { [ "$r_number" = "$r_low" ] || printf '%s\n' "$r_number" >>"$r_home/floors/$r_task"; } &&
    printf '%255s\n' '' 2>/dev/null >"$r_dir/room" && printf '%s\n%s' "r_begin $1 $3 $4 $5 '$r_dead'; set --" "$r_script" >&8; then
    exec 8>&-
    : >>"$r_dir/stdout"
    : >>"$r_dir/stderr"
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

# Sends the output files from these offsets on, until stdin ends; then nothing is left behind. Only builtins wait, so only the tails must be
# killed. If the tails are killed (rdev_remove kills followers whose agent vanished), this shell ends too.
rdev_follow() { # NAME STDOUT_OFFSET STDERR_OFFSET
  r_name "$1"
  exec 7<&0
  tail -c "+$(($2 + 1))" -f "$r_dir/stdout" </dev/null 2>/dev/null 7<&- &
  r_a=$!
  tail -c "+$(($3 + 1))" -f "$r_dir/stderr" </dev/null >&2 2>/dev/null 7<&- &
  r_b=$!
  # For rdev_remove: a tail whose agent vanished without closing the stream would wait for ever.
  { printf '%s\n' "$r_a" "$r_b"; } 2>/dev/null >>"$r_dir/followers"
  { while read -r r_x; do :; done; kill "$r_a" "$r_b"; } <&7 >/dev/null 2>&1 &
  r_c=$!
  wait "$r_a" "$r_b"
  kill "$r_c" 2>/dev/null
  exit 0
}

rdev_open() { # NAME STDOUT_OFFSET STDERR_OFFSET
  if [ -d "$r_home/attempts/$1" ]; then
    printf 'open\n'
    rdev_follow "$@"
  else
    printf 'gone\n'
  fi
}

# Runs a script once. The marks at the end of both streams, not the end of the streams, say that it ended.
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
