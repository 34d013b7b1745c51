# What the agent runs inside a pod: a library for every shell it opens there, and the supervisor of one attempt. POSIX sh (dash, busybox, bash).
#
# Promises: of any number of racing starts one wins (one file made with O_EXCL); a process never starts below its task's floor; the process tree ends with its
# main process, its deadline, a stop, or when nobody has asked for it for the orphan TTL; the exit record exists only when the tree is empty.
# Nothing of the library is kept in a file: whoever can write to the home would change what runs for others. The agent sends it to every shell, and
# a shell gives it to the programs that it starts.
# Everything in here forks as little as it can: a program costs 1 to 2 ms, a builtin some µs. Time is /proc/uptime (clock jumps do not matter).
# rdev_ functions are called by the agent; r_ names are private. Nobody's prompt, script or secret is ever in an argv.

r_contact() { # somebody still cares for the attempts of this pod
  r_uptime
  r_plain "$r_home/contact"
  printf '%s\n' "$r_now" 1<>"$r_home/contact" # its first line counts; ext4 takes a millisecond for what was truncated
}

r_life() { # → r_life, which life of its container this is: the boot, and when its PID 1 started. A volume outlives it, and so do directories.
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
  # A link would make the directory of another attempt that of this one.
  [ ! -L "$r_dir" ] || rm -f "$r_dir"
}

r_floor() { # → r_low, the lowest attempt of r_task that may still start. Lines are only ever appended, so it never sinks.
  r_low=0
  r_plain "$r_home/floors/$r_task" || return 0
  while read -r r_x; do
    [ "$r_x" -gt "$r_low" ] && r_low=$r_x
  done 2>/dev/null <"$r_home/floors/$r_task"
  return 0
}

r_nap() { # MILLISECONDS; whole seconds where sleep knows no fractions
  r_x=$((1000 + $1 % 1000))
  sleep "$(($1 / 1000)).${r_x#1}" 2>/dev/null || sleep "$((($1 + 999) / 1000))"
}

# ---- the process tree ----

# Who belongs to an attempt: what carries its tag, in whatever session, and what is in the session of its main process, if that is known
# to be ours (SID; only while its supervisor lives, since process ids come again after a container's restart). Zombies do not count.
# The main process waited warm, so its own tag, and that of what it forks without exec, is still that of its slot.
r_tree() { # NAME [SID] → r_pids
  r_tag="^RDEV_ATTEMPT=$r_task\\.$r_number\$"
  r_signed || r_slot=${r_mine-} # a guard knows its slot, also when the directory is gone
  [ -z "$r_slot" ] || r_tag="$r_tag|^RDEV_SLOT=$r_slot\$"
  [ -z "${2-}" ] || r_tag="$r_tag|^[0-9]+ \\(.*\\) [^ZX] [0-9]+ [0-9]+ $2 "
  # 2 is normal (processes come and go); 126 and more means that grep did not run, which is not "nobody".
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

# Signals until none is left: INT at once (if asked), TERM from TERM_AT, KILL from KILL_AT. Each process gets each signal once, but KILL again and
# again, because a process may fork between the look and the signal. In an attempt with the mark `alone`, INT goes to the main process only, while
# it lives.
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
    r_first=
    [ "$r_sig" != INT ] || [ ! -f "$r_dir/alone" ] || [ ! -d "/proc/$2" ] || r_first=$2
    for r_x in ${r_first:-$r_pids}; do
      case " $r_hit " in *" $r_sig:$r_x "*) [ "$r_sig" = KILL ] || continue ;; esac
      r_hit="$r_hit $r_sig:$r_x"
      [ -z "$r_sig" ] || kill -s "$r_sig" "$r_x" 2>/dev/null
      [ "$r_sig" != TERM ] || kill -s CONT "$r_x" 2>/dev/null
    done
    # Not past the moment of the next signal.
    r_left=$r_pause
    for r_x in "$4" "$5"; do
      [ "$r_x" -le "$r_now" ] || [ "$((r_x - r_now))" -ge "$r_left" ] || r_left=$((r_x - r_now))
    done
    r_nap "$r_left"
    [ "$r_pause" -ge 250 ] || r_pause=$((r_pause * 2))
  done
}

r_signed() { # whether a supervisor has r_dir → r_pid, r_slot, r_sid of the main process, r_owner
  r_slot= r_owner= r_sid=
  r_plain "$r_dir/supervisor" && read -r r_pid r_slot r_sid r_owner 2>/dev/null <"$r_dir/supervisor" && [ -n "$r_owner" ] &&
    r_whole "$r_pid" && r_whole "$r_sid" && r_hex "$r_slot" && return 0
  r_slot= r_owner= r_sid=
  return 1
}

r_hex() { # TEXT → 0: it can be a slot; words of a pattern or of a shell line cannot
  case $1 in '' | *[!0-9a-f]*) return 1 ;; esac
}

r_alive() { # whether the supervisor of r_dir runs; its argv carries its slot, so a process id that came again does not deceive
  r_signed && [ -d "/proc/$r_pid" ] || return 1
  # By builtins: hundreds of attempts are looked at when an agent comes back. They leave out the NULs, and a zombie has no words.
  r_argv=
  IFS= read -r r_argv 2>/dev/null <"/proc/$r_pid/cmdline"
  case $r_argv in *"$r_slot"*) return 0 ;; esac
  return 1
}

# ---- what one attempt at a time may hold ----

# A lock's files are LOCK@SLOT, one for each attempt that wants it, with its name inside. Whoever wants it writes its own and then looks: it holds
# the lock if no other that lives wants it. So of two at once at most one holds it, perhaps none; who does not withdraws. Nothing is ever
# released: an attempt without directory or with an exit record wants nothing. Builtins only.
r_rivals() { # LOCK SLOT → 0: another, r_holder, holds it or wants it too; r_dead: files of those that are over
  r_holder=
  r_dead=
  r_self=$r_task.$r_number
  for r_x in "$r_home/locks/$1"@*; do
    r_mark=${r_x##*@}
    r_who=
    [ "$r_mark" != "$2" ] && r_hex "$r_mark" && r_plain "$r_x" && read -r r_who 2>/dev/null <"$r_x" || continue
    case $r_who in *[!a-z0-9_.]* | *.*.* | .*) r_who=none ;; esac
    if r_holds "$r_who" "$r_mark"; then r_holder=$r_who; elif [ "${#r_dead}" -lt 500 ]; then r_dead="$r_dead $1@$r_mark"; fi
  done
  r_name "$r_self"
  [ -n "$r_holder" ]
}

# Whether an attempt is not over. If its supervisor is gone it is ended here, since perhaps nobody else knows of it.
r_holds() { # NAME SLOT
  r_name "$1"
  # The name of an attempt may come again, the slot of its supervisor does not.
  r_signed && [ "$r_slot" = "$2" ] && [ ! -f "$r_dir/exit" ] || return 1
  ! r_alive || return 0
  r_claim "$r_dir/begun" ''
  r_id=$2
  r_bury "$1"
  [ ! -f "$r_dir/exit" ]
}

r_hold() { # LOCK NAME, of an attempt that is signed → 0: it holds the lock; 1: another does; 2: not writable
  [ -w "$r_home/locks/." ] || r_home_again
  r_holder=
  { printf '%s\n' "$2"; } 2>/dev/null >"$r_home/locks/$1@$r_warm" && ! r_rivals "$1" "$r_warm" && return 0
  rm -f "$r_home/locks/$1@$r_warm"
  [ -z "$r_holder" ] || return 1
  return 2
}

# ---- the end ----

r_clock() { # → r_offset, what makes wall time of uptime
  r_ms=$(date +%s%3N)
  case $r_ms in '' | *[!0-9]*) r_ms=$(date +%s)000 ;; esac
  r_uptime
  r_offset=$((r_ms - r_now))
}

# Sizes are final: the tree is empty when this is called. A full disk makes it try again: without a record the attempt has no end.
r_record() { # CODE REASON FILE
  r_begin=
  r_offset=
  r_plain "$r_dir/begun" && read -r r_begin r_x r_x r_offset 2>/dev/null <"$r_dir/begun"
  r_whole "$r_offset" || r_clock
  r_whole "$r_begin" || r_begin=
  r_uptime
  r_ran=$((r_now - ${r_begin:-$r_now}))
  [ "$r_ran" -ge 0 ] || r_ran=0
  r_code=$1
  r_reason=$2
  r_file=$3
  set --
  r_plain "$r_dir/stdout" || printf '' 2>/dev/null >"$r_dir/stdout"
  r_plain "$r_dir/stderr" || printf '' 2>/dev/null >"$r_dir/stderr"
  if [ -s "$r_dir/stdout" ] || [ -s "$r_dir/stderr" ]; then set -- $(cd "$r_dir" && wc -c stdout stderr); fi
  r_ms=$((r_now + r_offset))
  r_full=
  # What the supervised put there is none: the supervisor's own word takes its place.
  if r_plain "$r_dir/exit" && [ "$r_file" = exit.next ]; then r_drop "$r_dir/exit"; fi
  r_plain "$r_dir/$r_file"
  until printf '{"exit_code":%d,"stdout_bytes":%d,"stderr_bytes":%d,"started_at":%d,"ended_at":%d,"reason":"%s"%s}\n' \
    "$r_code" "${1:-0}" "${3:-0}" "$((r_ms - r_ran))" "$r_ms" "$r_reason" "$r_full" 2>/dev/null 1<>"$r_dir/$r_file" &&
    { [ -f "$r_dir/exit" ] || mv "$r_dir/$r_file" "$r_dir/exit" 2>/dev/null; }; do
    [ -d "$r_dir" ] || return 1
    [ ! -w "$r_dir/." ] || r_full=',"disk_full":true'
    # The starter kept room for a record, before the process could take all there is.
    if [ -f "$r_dir/room" ]; then rm -f "$r_dir/room"; else sleep 1; fi
    # Or it has closed the directory, or put something in the way.
    chmod u+rwx "$r_dir" 2>/dev/null
    r_plain "$r_dir/$r_file"
    r_plain "$r_dir/exit"
  done
}

# The supervisor is gone and left no record: kill what is left, write one. Safe to do twice. If its container is gone as a whole, nobody killed it.
r_bury() { # NAME
  r_life
  r_was=
  r_plain "$r_dir/begun" && read -r r_x r_y r_was r_y 2>/dev/null <"$r_dir/begun"
  r_why=supervisor_died
  [ "${r_was:-$r_life}" = "$r_life" ] || r_why=container_gone
  r_uptime
  r_kill_tree "$1" '' - "$r_now" "$((r_now + 1000))"
  r_plain "$r_dir/exit" || r_record -1 "$r_why" "exit.$r_now.$r_id"
  r_wake
}

r_wake() { # who waits for the end of r_dir's supervisor, also if others hold its fifo open
  r_signed || r_slot=${r_mine-}
  [ ! -p "$r_home/spare/$r_slot.alive" ] || printf '.\n' 1<>"$r_home/spare/$r_slot.alive"
}

# The first reason wins, `exited` of the supervisor included: that is how a cancel that races the end is decided.
r_end() { # NAME SID REASON GRACE_MS
  r_uptime
  r_term=$((r_now + $4 / 2))
  r_kill=$((r_now + $4))
  r_claim "$r_dir/reason" "$3 $r_term $r_kill"
  # On a full disk the words find place where the starter kept some, without taking it from the record.
  [ $? != 2 ] || { r_plain "$r_dir/room" && printf '%s\n' "$3 $r_term $r_kill" 2>/dev/null 1<>"$r_dir/room"; }
  r_kill_tree "$1" "$2" int "$r_term" "$r_kill"
}

# ---- the supervisor ----

# Waits warm with its guard and the main process, which is a shell that reads its orders: nothing is left to be started when they come.
# The main process runs in the foreground: a background child of a non-interactive shell would have to ignore INT for ever.
r_supervise() { # SLOT UMASK
  exec 9<>"$r_home/spare/$1.alive" 7<>"$r_home/spare/$1.told"
  r_life
  # exec, not redirections of the call: busybox keeps copies of what a call redirects, and the fifo would not end with us.
  {
    exec 9>&- 6>&-
    r_guard "$1"
  } &
  r_guard=$!
  RDEV_SLOT=$1 setsid sh -c "$r_main" rdev "$1" "$2" "$r_life" 9>&-
  r_status=$?
  kill "$r_guard" 2>/dev/null
  wait "$r_guard" 2>/dev/null
  # What it told is there twice: the guard may have taken one, or a part of one.
  printf '.\n' >&7
  r_name=
  while read -r r_x r_y r_z r_z r_t && [ "$r_x" != . ]; do
    r_name=$r_x
    r_file=$r_y
    r_dead=$r_t
  done <&7
  exec 7>&-
  r_name "${r_name:-.}"
  r_mine=$1
  r_begin=
  r_plain "$r_dir/begun" && read -r r_begin r_slot r_x 2>/dev/null <"$r_dir/begun" && [ "$r_slot" = "$1" ] || r_begin=
  if [ -z "$r_begin" ]; then
    # Never begun. Who still waits for the main process to be ready finds the end of it when we are gone.
    rm -f "$r_home/spare/$1".*
    exit 0
  fi
  r_claim "$r_dir/reason" exited
  r_why=
  [ -s "$r_dir/reason" ] || r_nap 50 # claimed by another, but not yet written
  r_term= r_kill=
  { r_plain "$r_dir/reason" && read -r r_why r_term r_kill <"$r_dir/reason"; } 2>/dev/null ||
    { r_plain "$r_dir/room" && read -r r_why r_term r_kill <"$r_dir/room"; } 2>/dev/null
  case $r_why in cancelled | timeout | orphaned | stopped) ;; *) r_why=exited ;; esac
  r_signed
  r_uptime
  # A task can write them too. No stop has a longer grace than ten minutes.
  r_whole "$r_term" && r_whole "$r_kill" && [ "$r_kill" -le "$((r_now + 600000))" ] || { r_term= r_kill=; }
  r_kill_tree "$r_task.$r_number" "$r_sid" - "${r_term:-$r_now}" "${r_kill:-$((r_now + 1000))}"
  r_record "$r_status" "$r_why" exit.next
  printf '.\n' >&9
  exit 0
}

r_sweep() { # SLOT: what nobody needs once the process runs. A short one leaves it to the removal of its directory.
  rm -f "$r_home/incoming/$r_file.script" "$r_home/incoming/$r_file.stdin" "$r_home/spare/$1.orders" "$r_home/spare/$1.ready" "$r_home/spare/$1.told"
  [ -z "$r_dead" ] || (cd "$r_home/locks" && rm -f $r_dead)
}

# The supervisor's clock: heartbeat, deadline, orphan deadline, and whether the supervisor itself still lives. Its first steps wait a moment,
# since the process is just starting and every program run here would take the processor from it.
r_guard() { # SLOT
  # To read only: when the others are gone, this ends.
  exec 6<"$r_home/spare/$1.told" 7>&-
  read -r r_name r_file r_timeout r_begin r_dead <&6 && [ -n "$r_name" ] && r_whole "$r_timeout" && r_whole "$r_begin" || exit 0
  exec 6<&-
  r_name "$r_name"
  trap 'kill $r_sleep 2>/dev/null; exit 0' TERM
  r_sleep=
  r_mine=$1
  r_fine=1
  r_next=50
  r_ttl=$((${RDEV_ORPHAN_TTL_S:-1800} * 1000))
  r_last=$r_begin
  while :; do
    r_uptime
    r_plain "$r_dir/heartbeat"
    printf '%s\n' "$r_now" 2>/dev/null 1<>"$r_dir/heartbeat"
    read -r r_x </proc/self/stat
    set -- ${r_x##*) }
    if [ "$2" != $$ ]; then
      [ -f "$r_dir/exit" ] || { r_id=guard && r_bury "$r_task.$r_number"; }
      exit 0
    fi
    # The home was removed, or the pod: nobody can ask for the attempt any more, or read what it writes.
    if [ ! -d "$r_dir" ]; then
      # The main process is among them, and at its end the supervisor tells us to go: not before the last of them is gone.
      trap '' TERM
      r_kill_tree "$r_task.$r_number" '' - "$r_now" "$((r_now + 1000))"
      exit 0
    fi
    # The main process has ended, and the supervisor waits for us: its TERM was lost (see below).
    ! r_signed || [ -d "/proc/$r_sid" ] || exit 0
    r_left=$((r_begin + r_timeout - r_now))
    if [ "$r_left" -le 0 ]; then
      r_signed
      r_end "$r_task.$r_number" "$r_sid" timeout 5000
      r_left=3000
    fi
    # Never back, and not ahead: a task can write there, but neither end the others nor keep them.
    r_seen=
    r_plain "$r_home/contact" && read -r r_seen <"$r_home/contact"
    if r_whole "$r_seen" && [ "$r_seen" -gt "$r_last" ] && [ "$r_seen" -le "$((r_now + 1000))" ]; then r_last=$r_seen; fi
    if [ "$((r_now - r_last))" -gt "$r_ttl" ]; then
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
    wait "$r_sleep" || r_fine= # this sleep knows no fractions
    if [ "$r_next" = 50 ]; then
      r_next=3000
      r_sweep "$r_mine"
    fi
  done
}

# The program `supervise SLOT UMASK`.
if [ "${1-}" = supervise ]; then r_supervise "$2" "$3"; fi
