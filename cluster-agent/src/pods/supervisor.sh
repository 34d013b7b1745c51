# What the agent runs inside a pod: a library for every shell it opens there, and the supervisor of one attempt. POSIX sh (dash, busybox, bash).
#
# It promises: of any number of racing starts one wins (one file created with O_EXCL; POSIX open); a process never starts below its task's floor; the
# process tree ends with its main process, its deadline, a stop, or the orphan TTL; the exit record exists only when the tree is empty.
# It forks as little as possible: a program costs 1 to 2 ms, a builtin some µs. Time is /proc/uptime, so clock jumps do not matter.
# The agent calls rdev_ functions; r_ names are private. A prompt, script or secret is never in an argv.
# SPARE is the id of the spare shell on which an attempt starts; its supervisor keeps it. In environments it is RDEV_SLOT.

r_home=${RDEV_HOME:-${HOME:-/tmp}/.rdev}
r_text=${rdev_block-} # this text itself, while the bootstrap loop evaluates it
r_umask=$(umask)
umask 077
r_nl='
'

r_uptime() { # → r_now, milliseconds
  read -r r_x r_y </proc/uptime
  r_now=${r_x%.*}${r_x#*.}0
}

r_contact() { # an agent has asked: the orphan TTL starts anew
  r_uptime
  printf '%s\n' "$r_now" 1<>"$r_home/contact" # only the first line counts; it is overwritten, since truncating costs a millisecond on ext4
}

r_life() { # → r_life, tells this life of the container from others: the boot, and when PID 1 started. Directories on a volume outlive it.
  r_boot=
  r_x=
  read -r r_boot 2>/dev/null </proc/sys/kernel/random/boot_id
  read -r r_x 2>/dev/null </proc/1/stat
  set -- ${r_x##*) }
  r_life=$r_boot.${20-}
}

r_name() { # NAME → r_dir, r_task, r_number
  r_dir=$r_home/attempts/$1
  r_task=${1%.*}
  r_number=${1##*.}
}

r_floor() { # → r_low, the lowest attempt of r_task that may still start. Lines are only appended, so it never sinks.
  r_low=0
  [ -r "$r_home/floors/$r_task" ] || return 0
  while read -r r_x; do
    [ "$r_x" -gt "$r_low" ] && r_low=$r_x
  done 2>/dev/null <"$r_home/floors/$r_task"
  return 0
}

r_claim() { # FILE TEXT: creates the file (set -C: open with O_EXCL) without a fork → 1: it exists already; 2: created, but not written
  set -C
  r_x=1
  { r_x=2 && printf '%s\n' "$2" && r_x=0; } 2>/dev/null >"$1"
  set +C
  return $r_x
}

r_nap() { # MILLISECONDS; whole seconds where sleep has no fractions
  r_x=$((1000 + $1 % 1000))
  sleep "$(($1 / 1000)).${r_x#1}" 2>/dev/null || sleep "$((($1 + 999) / 1000))"
}

# ---- the process tree ----

# The processes of an attempt: all that have its tag, in any session, and all in the session of its main process (SID, only while the
# supervisor lives, since process ids are used again after a container's restart). Zombies do not count. The main process was started before
# its orders came, so it and what it forks without exec have the tag of the spare instead.
r_tree() { # NAME [SID] → r_pids
  r_tag="^RDEV_ATTEMPT=$r_task\\.$r_number\$"
  r_signed && r_tag="$r_tag|^RDEV_SLOT=$r_spare\$"
  [ -z "${2-}" ] || r_tag="$r_tag|^[0-9]+ \\(.*\\) [^ZX] [0-9]+ [0-9]+ $2 "
  # Status 2 is normal, because processes come and go. 126 and more: grep did not run, so nothing is known.
  until
    r_found=$(grep -lzE "$r_tag" /proc/[0-9]*/environ ${2:+/proc/[0-9]*/stat} 2>/dev/null)
    [ $? -lt 126 ]
  do sleep 1; done
  r_pids=
  for r_x in $r_found; do
    r_x=${r_x#/proc/}
    r_x=${r_x%/*}
    case " $r_pids " in *" $r_x "*) ;; *) r_pids="$r_pids $r_x" ;; esac
  done
}

# Sends signals until no process is left: INT (if asked) at once, TERM from TERM_AT, KILL from KILL_AT. Each process gets INT and TERM once,
# KILL repeatedly, because a process may fork between the look and the signal.
r_kill_tree() { # NAME SID int|- TERM_AT KILL_AT
  r_hit=
  r_pause=10
  while
    r_tree "$1" "$2"
    [ -n "$r_pids" ]
  do
    r_uptime
    r_sig=
    if [ "$r_now" -ge "$5" ]; then
      r_sig=KILL
    elif [ "$r_now" -ge "$4" ]; then
      r_sig=TERM
    elif [ "$3" = int ]; then
      r_sig=INT
    fi
    for r_x in $r_pids; do
      case " $r_hit " in *" $r_sig:$r_x "*) [ "$r_sig" = KILL ] || continue ;; esac
      r_hit="$r_hit $r_sig:$r_x"
      [ -z "$r_sig" ] || kill -s "$r_sig" "$r_x" 2>/dev/null
      [ "$r_sig" != TERM ] || kill -s CONT "$r_x" 2>/dev/null
    done
    # Do not sleep past the time of the next signal.
    r_left=$r_pause
    for r_x in "$4" "$5"; do
      [ "$r_x" -le "$r_now" ] || [ "$((r_x - r_now))" -ge "$r_left" ] || r_left=$((r_x - r_now))
    done
    r_nap "$r_left"
    [ "$r_pause" -ge 250 ] || r_pause=$((r_pause * 2))
  done
}

r_signed() { # whether a supervisor has r_dir → r_pid, r_spare, r_sid of the main process, r_owner
  r_spare= r_owner= r_sid=
  [ -r "$r_dir/supervisor" ] && read -r r_pid r_spare r_sid r_owner <"$r_dir/supervisor" && [ -n "$r_owner" ]
}

r_alive() { # whether the supervisor of r_dir runs; its argv has its SPARE, which tells it from another process with the same id
  r_signed && [ -d "/proc/$r_pid" ] || return 1
  # Builtins first, since hundreds of attempts are checked when an agent comes back.
  r_argv=
  IFS= read -r r_argv 2>/dev/null <"/proc/$r_pid/cmdline"
  case $r_argv in *"$r_spare"*) return 0 ;; esac
  grep -qzxF "$r_spare" "/proc/$r_pid/cmdline" 2>/dev/null
  [ $? -ne 1 ]
}

# ---- locks ----

# A lock has a file LOCK@SPARE for each attempt that wants it, with the attempt's name inside. An attempt first writes its own file and then looks
# for others: it holds the lock if no other live attempt wants it, else it withdraws. So of two at once at most one holds the lock, perhaps
# none. A lock is never released: an attempt without a directory or with an exit record does not count. Builtins only.
r_rivals() { # LOCK SPARE → 0: another, r_holder, holds it or wants it too; r_dead: files of those that are over
  r_holder=
  r_dead=
  for r_x in "$r_home/locks/$1"@*; do
    r_x=${r_x##*@}
    r_y= r_z=
    [ "$r_x" != "$2" ] && read -r r_y 2>/dev/null <"$r_home/locks/$1@$r_x" || continue
    # An attempt's name may be used again, the SPARE of its supervisor is not.
    read -r r_t r_z r_t 2>/dev/null <"$r_home/attempts/$r_y/supervisor"
    if [ "$r_z" = "$r_x" ] && [ ! -f "$r_home/attempts/$r_y/exit" ]; then r_holder=$r_y; else r_dead="$r_dead $1@$r_x"; fi
  done
  [ -n "$r_holder" ]
}

r_hold() { # LOCK NAME, of an attempt that is signed → 0: it holds the lock; 1: another does; 2: not writable
  [ -d "$r_home/locks" ] || r_home_again
  r_holder=
  { printf '%s\n' "$2"; } 2>/dev/null >"$r_home/locks/$1@$r_warm" && ! r_rivals "$1" "$r_warm" && return 0
  rm -f "$r_home/locks/$1@$r_warm"
  [ -z "$r_holder" ] || return 1
  return 2
}

# ---- the end ----

r_clock() { # → r_offset, wall time minus uptime
  r_ms=$(date +%s%3N)
  case $r_ms in '' | *[!0-9]*) r_ms=$(date +%s)000 ;; esac
  r_uptime
  r_offset=$((r_ms - r_now))
}

# Called when the tree is empty, so the sizes are final. On a full disk it tries again, because without a record the attempt has no end.
r_record() { # CODE REASON FILE
  r_begin=
  [ -r "$r_dir/begun" ] && read -r r_begin r_x <"$r_dir/begun"
  r_uptime
  r_ran=$((r_now - ${r_begin:-$r_now}))
  [ "$r_ran" -ge 0 ] || r_ran=0
  r_code=$1
  r_reason=$2
  r_file=$3
  set -- $(cd "$r_dir" && wc -c stdout stderr)
  [ -r "$r_dir/clock" ] && read -r r_offset <"$r_dir/clock"
  [ -n "${r_offset-}" ] || r_clock
  r_ms=$((r_now + r_offset))
  r_full=
  until printf '{"exit_code":%d,"stdout_bytes":%d,"stderr_bytes":%d,"started_at":%d,"ended_at":%d,"reason":"%s"%s}\n' \
    "$r_code" "${1:-0}" "${3:-0}" "$((r_ms - r_ran))" "$r_ms" "$r_reason" "$r_full" 2>/dev/null 1<>"$r_dir/$r_file" &&
    { [ -f "$r_dir/exit" ] || mv "$r_dir/$r_file" "$r_dir/exit" 2>/dev/null; }; do
    [ -d "$r_dir" ] || return 1
    r_full=',"disk_full":true'
    # The start reserved room for a record, before the process could fill the disk.
    if [ -f "$r_dir/room" ]; then rm -f "$r_dir/room"; else sleep 1; fi
  done
}

# The supervisor is gone and left no record: kills what is left and writes one. Safe to do twice. Another life of the container: container_gone.
r_bury() { # NAME
  r_life
  r_was=
  [ -r "$r_dir/begun" ] && read -r r_x r_y r_was <"$r_dir/begun"
  r_why=supervisor_died
  [ "${r_was:-$r_life}" = "$r_life" ] || r_why=container_gone
  r_uptime
  r_kill_tree "$1" '' - "$r_now" "$((r_now + 1000))"
  [ -f "$r_dir/exit" ] || r_record -1 "$r_why" "exit.$r_now.$r_id"
}

# The first reason wins, also against `exited` of the supervisor. This decides a cancel that races the end.
r_end() { # NAME SID REASON GRACE_MS
  r_uptime
  r_term=$((r_now + $4 / 2))
  r_kill=$((r_now + $4))
  r_claim "$r_dir/reason" "$3 $r_term $r_kill"
  # On a full disk the reason is written into the room that the start reserved; the record still has its own.
  [ $? != 2 ] || printf '%s\n' "$3 $r_term $r_kill" 2>/dev/null 1<>"$r_dir/room"
  r_kill_tree "$1" "$2" int "$r_term" "$r_kill"
}

# ---- the supervisor ----

# Waits for orders, with its guard and the main process already started: the main process is a shell that reads the orders.
# The main process runs in the foreground, because a background child of a non-interactive shell ignores INT (POSIX).
r_supervise() { # SPARE UMASK
  exec 9<>"$r_home/spare/$1.alive" 7<>"$r_home/spare/$1.told"
  r_clock
  r_life
  # exec instead of a redirection of the call: busybox keeps a copy of the redirected fifo, which would stay open after this process.
  {
    exec 9>&-
    r_guard "$1"
  } &
  r_guard=$!
  RDEV_SLOT=$1 setsid sh "$r_lib" main "$1" "$2" "$r_lib" "$r_life" 9>&-
  r_status=$?
  kill "$r_guard" 2>/dev/null
  wait "$r_guard" 2>/dev/null
  # The main process wrote its orders twice: the guard may have read the first, or a part of it.
  printf '.\n' >&7
  r_name=
  while read -r r_x r_y r_z r_z r_t && [ "$r_x" != . ]; do
    r_name=$r_x
    r_file=$r_y
    r_dead=$r_t
  done <&7
  exec 7>&-
  r_name "${r_name:-.}"
  r_begin=
  [ -r "$r_dir/begun" ] && read -r r_begin r_spare r_x <"$r_dir/begun" && [ "$r_spare" = "$1" ] || r_begin=
  if [ -z "$r_begin" ]; then
    # It never began. An empty line ends the wait of a start for the main process.
    exec 5<>"$r_home/spare/$1.ready" 6<>"$r_home/spare/$1.orders"
    printf '\n' >&5
    rm -f "$r_home/spare/$1".*
    exit 0
  fi
  r_claim "$r_dir/reason" exited
  # The guard had no time to do this.
  [ ! -p "$r_home/spare/$1.told" ] || r_sweep "$1"
  r_why=
  [ -s "$r_dir/reason" ] || r_nap 50 # claimed by another, but not yet written
  read -r r_why r_term r_kill <"$r_dir/reason" || { [ -f "$r_dir/room" ] && read -r r_why r_term r_kill <"$r_dir/room"; }
  r_signed
  r_uptime
  r_kill_tree "$r_task.$r_number" "$r_sid" - "${r_term:-$r_now}" "${r_kill:-$((r_now + 1000))}"
  r_record "$r_status" "${r_why:-exited}" exit.next
  exit 0
}

r_sweep() { # SPARE: removes files that are not needed once the process runs
  rm -f "$r_home/incoming/$r_file.script" "$r_home/incoming/$r_file.stdin" "$r_home/spare/$1.orders" "$r_home/spare/$1.ready" "$r_home/spare/$1.told"
  [ -z "$r_dead" ] || (cd "$r_home/locks" && rm -f $r_dead)
}

# Called in the main process by its orders (see the end of this file), which are shell text from a fifo: this call, then the script.
r_begin() { # NAME FILE TIMEOUT_MS STDIN LOCKS
  kill -0 "$PPID" 2>/dev/null || { printf '\n' >&7 && exit 0; }
  r_told=1
  r_dir=$r_home/attempts/$1
  r_uptime
  r_x="$1 $2 $3 $r_now $5"
  printf '%s\n%s\n' "$r_x" "$r_x" >&7
  # Who creates this file decides whether the process ever runs; see r_await.
  r_claim "$r_dir/begun" "$r_now $r_spare $r_life" || exit 0
  if [ "$4" = - ]; then r_x=/dev/null; else r_x=$r_home/incoming/$2.stdin; fi
  exec <"$r_x" >>"$r_dir/stdout" 2>>"$r_dir/stderr" 7>&-
  unset RDEV_SLOT
  export RDEV_ATTEMPT="$1"
  umask "$r_umask"
}

# The supervisor's guard: heartbeat, deadline, orphan TTL, and whether the supervisor itself still lives. It begins a moment late, because every
# program that it runs takes processor time from the process that is just starting.
r_guard() { # SPARE
  read -r r_name r_file r_timeout r_begin r_dead <&7 && [ -n "$r_name" ] || exit 0
  exec 7>&-
  r_name "$r_name"
  trap 'kill $r_sleep 2>/dev/null; exit 0' TERM
  r_sleep=
  r_mine=$1
  r_fine=1
  r_next=50
  r_ttl=$((${RDEV_ORPHAN_TTL_S:-1800} * 1000))
  while :; do
    r_uptime
    printf '%s\n' "$r_now" 1<>"$r_dir/heartbeat"
    read -r r_x </proc/self/stat
    set -- ${r_x##*) }
    if [ "$2" != $$ ]; then
      [ -f "$r_dir/exit" ] || { r_id=guard && r_bury "$r_task.$r_number"; }
      exit 0
    fi
    # The main process has ended and the supervisor waits for this guard, so its TERM was lost (see below).
    ! r_signed || [ -d "/proc/$r_sid" ] || exit 0
    r_left=$((r_begin + r_timeout - r_now))
    if [ "$r_left" -le 0 ]; then
      r_signed
      r_end "$r_task.$r_number" "$r_sid" timeout 5000
      r_left=3000
    fi
    r_seen=
    read -r r_seen <"$r_home/contact"
    if [ "$((r_now - ${r_seen:-$r_now}))" -gt "$r_ttl" ]; then
      r_signed
      r_end "$r_task.$r_number" "$r_sid" orphaned 5000
    fi
    [ "$r_left" -le "$r_next" ] || r_left=$r_next
    if [ -n "$r_fine" ]; then
      r_x=$((1000 + r_left % 1000))
      sleep "$((r_left / 1000)).${r_x#1}" &
    else
      sleep "$(((r_left + 999) / 1000))" &
    fi
    r_sleep=$!
    wait "$r_sleep" || r_fine= # this sleep has no fractions
    if [ "$r_next" = 50 ]; then
      r_next=3000
      r_sweep "$r_mine"
      # Without r_clock: bash 5.2 may lose a TERM that comes during a command substitution.
      date +%s%3N >"$r_dir/clock.now"
      r_ms=
      read -r r_ms <"$r_dir/clock.now"
      case $r_ms in
        '' | *[!0-9]*) ;; # this date has no milliseconds: the supervisor's offset is used
        *) r_uptime && r_offset=$((r_ms - r_now)) ;;
      esac
      printf '%s\n' "$r_offset" >"$r_dir/clock"
    fi
  done
}

# When this file runs as a program, the shell has not read the other two files of the library.
case ${1-} in
  supervise)
    r_lib=$4
    r_supervise "$2" "$3"
    ;;
  main)
    r_spare=$2
    r_umask=$3
    r_life=$5
    r_told=
    printf '%s\n' "$PPID $$" 1<>"$r_home/spare/$2.ready"
    r_orders=$r_home/spare/$2.orders
    set --
    . "$r_orders"
    r_x=$?
    # No orders came: an empty line ends the guard, since the supervisor may be gone.
    [ -n "$r_told" ] || printf '\n' >&7
    exit "$r_x"
    ;;
esac
