# The part of the library that a pod's control shell needs; it follows start.sh. One shell answers for all attempts of the pod.
# Nothing in here polls, apart from the moments between a start and the supervisor's signature.

# ---- the control shell: `<id> <verb> <args>` in, `<id> = <data>` any number of times and `<id> <answer>` out ----

rdev_control() {
  [ -w "$r_home/spare/." ] || r_home_again
  r_contact
  # What warm supervisors left that were killed before they had orders.
  # Those that live are told by one look at all processes, and who seems dead by a second: one look for each takes seconds where hundreds of
  # attempts run, or a task made thousands of files. Some hundreds are removed, and the others the next time.
  r_dead=
  r_lasts
  for r_x in "$r_home"/spare/*.alive; do
    r_x=${r_x##*/}
    r_x=${r_x%.alive}
    case " $r_live " in *" $r_x "*) continue ;; esac
    ! r_hex "$r_x" || r_dead="$r_dead $r_x"
    [ "${#r_dead}" -lt 4000 ] || break
  done
  [ -z "$r_dead" ] || r_lasts
  r_gone=
  for r_x in $r_dead; do
    case " $r_live " in *" $r_x "*) ;; *) r_gone="$r_gone $r_x.alive $r_x.orders $r_x.ready $r_x.told" ;; esac
  done
  [ -z "$r_gone" ] || (cd "$r_home/spare" && rm -f $r_gone) 2>/dev/null
  printf 'control\n'
  while IFS=' ' read -r r_id r_verb r_rest; do
    r_contact
    jobs >/dev/null 2>&1 # reaps
    case $r_verb in
      touch) printf '%s ok\n' "$r_id" ;;
      wait | bury | stop | list | refuse | remove | note | keep) "rdev_$r_verb" "$r_id" $r_rest & ;;
      *) printf '%s unknown\n' "$r_id" ;;
    esac
  done
  # Waiters end with us; a stop that is under way is finished (it ignores TERM).
  for r_x in $(grep -lE "^[0-9]+ \\(.*\\) . $$ " /proc/[0-9]*/stat 2>/dev/null); do
    r_x=${r_x#/proc/}
    kill "${r_x%/stat}" 2>/dev/null
  done
  exit 0
}

r_lasts() { # → r_live, the slots that are in the argv of a process
  r_live=$(LC_ALL=C grep -ohzxE '[0-9a-f]{16}' /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ')
}

# The supervised can write a record as well as its supervisor can, who does so only when no process is left. So a record beside a living tree is
# not the supervisor's: the tree is ended, and the record goes.
r_over() { # NAME → 0: there is a record, and no process of the attempt is left
  r_plain "$r_dir/exit" || return 1
  r_alive || r_sid=
  r_tree "$1" "$r_sid"
  [ -n "$r_pids" ] || return 0
  # It goes first: the supervisor writes its own when the tree is empty.
  rm -f "$r_dir/exit"
  r_uptime
  r_kill_tree "$1" "$r_sid" - "$r_now" "$((r_now + 1000))"
  return 1
}

# Waits for the record without polling: the supervisor holds the fifo open for writing until it is gone, however it goes.
r_await() { # NAME → 0: there is a record; 1: there is no such attempt
  r_name "$1"
  r_tries=0
  r_rounds=0
  r_mine=
  r_rung=
  while :; do
    if r_over "$1"; then
      # One line wakes one waiter.
      [ -z "$r_rung" ] || r_wake
      return 0
    fi
    if [ ! -d "$r_dir" ]; then
      # The task can have removed it, and ended its guard.
      r_uptime
      r_kill_tree "$1" '' - "$r_now" "$((r_now + 1000))"
      return 1
    fi
    [ -z "$r_rung" ] || r_nap 50 # another than the supervisor has written
    r_rung=
    if r_alive; then
      r_mine=$r_slot
      r_x=$r_home/spare/$r_slot.alive
      if [ -p "$r_x" ]; then
        # Opened for both first, so that opening for reading does not wait for a writer that may be gone. The supervisor writes a line at its
        # end too, since others can hold the fifo open.
        exec 5<>"$r_x" 6<"$r_x" 5>&-
        ! read -r r_x <&6 || r_rung=1
        exec 6<&-
      else
        r_nap 50
      fi
    elif [ -f "$r_dir/exit" ]; then
      : # written since we looked
    elif [ -f "$r_dir/begun" ] && [ -f "$r_dir/supervisor" ]; then
      r_bury "$1"
    elif [ "$r_tries" -ge 100 ]; then
      # Never begun, for 5 s: take the right to begin, or learn that it did after all, or that another took it (and died of it).
      r_tries=0
      r_rounds=$((r_rounds + 1))
      if r_claim "$r_dir/begun" '' || [ "$r_rounds" -ge 2 ]; then r_bury "$1"; fi
    else
      r_tries=$((r_tries + 1))
      r_nap 50
    fi
  done
}

r_tell_record() { # ID
  r_x=-
  ! r_plain "$r_dir/exit" || read -r r_x <"$r_dir/exit"
  # A record has less than 250 characters; a longer line is not one, and would not fit into an answer.
  [ ${#r_x} -le 500 ] || r_x=-
  printf '%s ended %s\n' "$1" "$r_x"
}

rdev_wait() { # ID NAME
  if r_await "$2"; then r_tell_record "$1"; else printf '%s gone\n' "$1"; fi
}

# The record cannot be read, so no supervisor wrote it: one is made as for a supervisor that died.
rdev_bury() { # ID NAME
  r_name "$2"
  if r_await "$2"; then
    r_drop "$r_dir/exit"
    r_await "$2"
  fi
  if [ -f "$r_dir/exit" ]; then r_tell_record "$1"; else printf '%s gone\n' "$1"; fi
}

rdev_stop() { # ID NAME GRACE_MS REASON
  trap '' TERM
  r_name "$2"
  r_uptime
  r_stop_kill=$((r_now + $3))
  r_wait=10
  r_since=
  while [ -d "$r_dir" ] && ! r_over "$2"; do
    r_uptime
    if r_alive && [ "$((r_now - ${r_since:-$r_now}))" -gt 10000 ]; then
      # For ten seconds no process of the attempt was left, and whoever is named as its supervisor wrote no record: it was stopped, or waits for
      # orders that were taken, or is none.
      r_claim "$r_dir/begun" ''
      # Its guard has the slot in its argv too, and may be stopped as well.
      for r_x in $(grep -lzxF "$r_slot" /proc/[0-9]*/cmdline 2>/dev/null); do
        r_x=${r_x#/proc/}
        kill -s KILL "${r_x%/cmdline}" 2>/dev/null
      done
      r_id=$1
      r_bury "$2"
    elif r_alive && [ ! -f "$r_dir/begun" ]; then
      r_since=${r_since:-$r_now}
      r_nap 20 # it is taking its orders, or leaves without
    elif r_alive; then
      # Again and again: a process that was about to start when we looked is found the next time.
      r_uptime
      r_x=$((r_stop_kill - r_now))
      [ "$r_x" -ge 0 ] || r_x=0
      r_end "$2" "$r_sid" "$4" "$r_x"
      r_uptime
      if [ "$r_now" -lt "$r_stop_kill" ]; then r_since=; else r_since=${r_since:-$r_now}; fi
      [ -f "$r_dir/exit" ] || r_nap "$r_wait"
      [ "$r_wait" -ge 250 ] || r_wait=$((r_wait * 2))
    else
      r_await "$2"
    fi
  done
  if [ ! -d "$r_dir" ]; then r_await "$2"; fi
  if [ -f "$r_dir/exit" ]; then r_tell_record "$1"; else printf '%s gone\n' "$1"; fi
}

r_own_name() { # → r_own, the name of this home; empty if there is no room to write one
  r_tries=0
  while [ "$r_tries" -lt 25 ]; do
    r_own=
    r_plain "$r_home/name" && read -r r_own 2>/dev/null <"$r_home/name"
    [ -z "$r_own" ] || return 0
    # Made by another who is about to write it, or who died before he did.
    [ "$r_tries" -lt 20 ] || rm -f "$r_home/name"
    r_tries=$((r_tries + 1))
    read -r r_y </proc/sys/kernel/random/uuid
    r_claim "$r_home/name" "$r_y"
    case $? in
      1) r_nap 50 ;;
      2) rm -f "$r_home/name" && return 0 ;;
    esac
  done
}

rdev_list() { # ID
  r_tries=0
  # `read` takes a byte at a time, and a file without a newline can have any size.
  find "$r_home/name" "$r_home/contact" "$r_home/locks" "$r_home/attempts" -maxdepth 2 -type f -size +8 ! -name 'std*' ! -name '*note.*' \
    -exec rm -f {} + 2>/dev/null
  for r_x in "$r_home"/attempts/*; do
    r_name "${r_x##*/}"
    case $r_number in '' | *[!0-9]*) continue ;; esac
    while :; do
      r_state=exited
      [ ! -f "$r_dir/exit" ] || break
      r_state=running
      ! r_alive || break
      r_state=broken
      # A supervisor that is just taking its orders has not signed yet.
      [ ! -f "$r_dir/begun" ] && [ -d "$r_dir" ] && [ "$r_tries" -lt 40 ] || break
      r_tries=$((r_tries + 1))
      r_nap 50
    done
    # It may have ended between the two looks.
    [ "$r_state" != broken ] || [ ! -f "$r_dir/exit" ] || r_state=exited
    [ ! -d "$r_dir" ] || printf '%s = %s %s\n' "$1" "${r_dir##*/}" "$r_state"
  done
  r_own_name
  printf '%s ok %s\n' "$1" "$r_own"
}

# A try to start it may still be on its way: after `ok` it finds the floor. `there`: one has come through.
rdev_refuse() { # ID NAME
  [ -w "$r_home/floors/." ] || r_home_again
  r_name "$2"
  r_floor
  if [ ! -d "$r_dir" ] && [ "$r_low" -le "$r_number" ] && ! printf '%s\n' "$((r_number + 1))" >>"$r_home/floors/$r_task"; then
    printf '%s failed\n' "$1"
    return
  fi
  # One that looked at the floor before that signs now, or withdraws.
  r_tries=0
  while [ -d "$r_dir" ] && [ ! -f "$r_dir/supervisor" ] && [ "$r_tries" -lt 50 ]; do
    r_tries=$((r_tries + 1))
    r_nap 20
  done
  if [ -d "$r_dir" ]; then printf '%s there\n' "$1"; else printf '%s ok\n' "$1"; fi
}

rdev_remove() { # ID NAME
  [ -w "$r_home/floors/." ] || r_home_again
  r_name "$2"
  r_floor
  # Without a supervisor's signature and below the floor, another remove is at work on it.
  if [ -d "$r_dir" ] && [ ! -f "$r_dir/exit" ] && { [ -f "$r_dir/supervisor" ] || [ "$r_low" -le "$r_number" ]; }; then
    printf '%s running\n' "$1"
    return
  fi
  if [ "$r_low" -le "$r_number" ] && ! printf '%s\n' "$((r_number + 1))" >>"$r_home/floors/$r_task"; then
    printf '%s failed\n' "$1"
    return
  fi
  r_slot=
  if [ -d "$r_dir" ]; then
    if r_plain "$r_dir/followers"; then
      while read -r r_x; do
        r_argv=
        IFS= read -r r_argv 2>/dev/null <"/proc/$r_x/cmdline"
        case $r_argv in *"$r_dir/std"*) kill "$r_x" 2>/dev/null ;; esac
      done <"$r_dir/followers"
    fi
    r_signed
  fi
  # One program for all of it: each costs as much as everything else here. The exit record goes after the rest, since a directory without one looks
  # like a broken attempt.
  rm -rf "$r_dir"/[!e]* "$r_dir" ${r_slot:+"$r_home/spare/$r_slot".*} "$r_home/incoming/$2".* 2>/dev/null
  # Folders that their owner may not write to, as caches of modules are.
  [ ! -d "$r_dir" ] || { chmod -R u+rwx "$r_dir" && rm -rf "$r_dir"; } 2>/dev/null
  if [ -d "$r_dir" ]; then printf '%s failed\n' "$1"; else printf '%s ok\n' "$1"; fi
}

rdev_note() { # ID NAME NOTE
  r_name "$2"
  if r_plain "$r_dir/note.$3"; then
    while read -r r_x; do printf '%s = %s\n' "$1" "$r_x"; done <"$r_dir/note.$3"
    printf '%s ok\n' "$1"
  else
    printf '%s none\n' "$1"
  fi
}

rdev_keep() { # ID NAME NOTE WORDS…
  r_name "$2"
  r_id=$1
  r_note=$3
  shift 3
  r_plain "$r_dir/note.$r_note"
  if for r_x; do printf '%s\n' "$r_x" || exit; done >"$r_dir/.$r_note.$r_id" && mv "$r_dir/.$r_note.$r_id" "$r_dir/note.$r_note"; then
    printf '%s ok\n' "$r_id"
  else
    printf '%s failed\n' "$r_id"
  fi
}
