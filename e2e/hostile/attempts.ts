// What a hostile task tries, as data. Every script is harmless outside of its pod: it touches files of its pod's home and processes that have
// this home, and what escapes ends by itself.

/** How a task may end, so that it is true: `<status> <error code or -> <exit code or ->`. */
export type End = string

export interface HostileAttempt {
  /** Completes "a task that …". */
  readonly does: string
  readonly script: string
  readonly ends: readonly End[]
  /** Seconds of its time limit; 120 if nothing is said. */
  readonly timeoutS?: number
  /** The task is cancelled once it has written a line. */
  readonly cancelled?: true
  /** It gets another attempt when it is lost. */
  readonly again?: true
  /** How a task that runs beside it in the pod may end. Default: as if it were alone. */
  readonly beside?: readonly End[]
}

/** What a task that was killed by the pod is told as. */
const killed = ['failed - 143', 'failed - 137']
const unwatched = ['failed LOST -1']
const gone = ['lost LOST -']
const own: readonly End[] = ['failed - 4']

/** Shell words for all scripts. `others`: processes of this pod that do not belong to this task, and are no ancestors of it. */
const words = `
rdev=\${RDEV_HOME:-$HOME/.rdev}
mine=$rdev/attempts/$RDEV_ATTEMPT
others() {
  for file in $(grep -lzxF "HOME=$HOME" /proc/[0-9]*/environ 2>/dev/null); do
    pid=\${file#/proc/} pid=\${pid%/environ}
    [ "$pid" = $$ ] || [ "$pid" = $PPID ] || grep -qzxF "RDEV_ATTEMPT=$RDEV_ATTEMPT" "$file" 2>/dev/null || echo "$pid"
  done
}
alone() { # ends the supervisor of this task and its guard
  for pid in $(cat /proc/$PPID/task/*/children); do [ "$pid" = $$ ] || kill -9 "$pid"; done
  kill -9 $PPID
}
record() { printf '{"exit_code":%s,"stdout_bytes":%s,"stderr_bytes":0,"started_at":1,"ended_at":2,"reason":"%s"}\\n' "$@" >"$mine/exit"; }
away() { env -i HOME="$HOME" PATH="$PATH" setsid sh -c "$@" </dev/null >/dev/null 2>&1 & }
`

const attempt = (does: string, ends: readonly End[], script: string, more: Partial<HostileAttempt> = {}): HostileAttempt => ({
  does,
  ends,
  script: `${words}\n${script}\n`,
  ...more,
})

const junk = (file: string) => `rm -rf ${file}; mkfifo ${file}`

export const hostileAttempts: readonly HostileAttempt[] = [
  // Its own record.
  attempt('writes a record that says it was cancelled, and goes on', [...killed, ...unwatched], 'record 0 0 cancelled; exec sleep 600'),
  attempt(
    'ends its supervisor and writes a record that is none, and goes on',
    unwatched,
    'echo up; alone; echo junk >"$mine/exit"; exec sleep 600',
  ),
  attempt(
    'ends its supervisor and writes a record of 160 kB, and goes on',
    unwatched,
    'x=xxxxxxxxxx; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do x=$x$x; done; alone; echo "$x" >"$mine/exit"; exec sleep 600',
  ),
  attempt(
    'ends its supervisor and writes a record with more output than there is',
    ['failed - 7', ...unwatched],
    'echo up; alone; record 7 4000000000 exited',
  ),
  attempt(
    'puts closed folders where its record belongs',
    [...own, ...unwatched],
    'mkdir -p "$mine/exit/x" "$mine/exit.next/x"; chmod 000 "$mine/exit" "$mine/exit.next"; exit 4',
  ),
  attempt(
    'writes that its end has a grace of a thousand years, and leaves processes',
    [...own, 'failed POD_UNAVAILABLE 4'],
    'echo "stopped 99999999999999 99999999999999" >"$mine/reason"; setsid sleep 600 & exit 4',
  ),
  attempt('writes words where the numbers of its begin belong', [...unwatched, ...gone], `echo 'x 09 a[0] [' >"$mine/begun"; exit 4`),

  // Its supervisor.
  attempt('kills its supervisor, and goes on', unwatched, 'kill -9 $PPID; exec sleep 600'),
  attempt('kills its supervisor and the guard of that, and goes on', unwatched, 'echo up; alone; exec sleep 600'),
  attempt(
    'kills both, names another process as its supervisor, ignores signals, and goes on past its time limit',
    ['timed_out TIMEOUT 137', 'timed_out TIMEOUT -1', ...unwatched],
    `read -r pid slot sid owner <"$mine/supervisor"; exec 3<>"$rdev/spare/$slot.alive"; trap '' INT TERM
sh -c 'sleep 600; :' rdev "$slot" & echo "$! $slot $sid $owner" >"$mine/supervisor"; alone; while :; do sleep 1; done`,
    { timeoutS: 2 },
  ),
  attempt(
    'stops its supervisor and the guard of that, and goes on past its time limit',
    ['timed_out TIMEOUT 137', 'timed_out TIMEOUT -1', ...unwatched],
    'for pid in $(cat /proc/$PPID/task/*/children); do [ "$pid" = $$ ] || kill -STOP "$pid"; done; kill -STOP $PPID; exec sleep 600',
    { timeoutS: 2 },
  ),
  attempt(
    'kills both, sleeps past its time limit, and writes a record that it ended in time',
    ['succeeded - 0', ...killed, ...unwatched],
    'alone; sleep 4; record 0 0 exited; exec sleep 600',
    { timeoutS: 2 },
  ),
  attempt('ignores INT and TERM, and is cancelled', ['cancelled CANCELLED 137'], `trap '' INT TERM; echo up; while :; do sleep 1; done`, {
    cancelled: true,
  }),
  attempt(
    'leaves a process with a cleared environment and a session of its own that holds the fifo of its supervisor',
    own,
    'read -r pid slot rest <"$mine/supervisor"; away \'exec 3<>"$1"; : >"$2"; exec sleep 20\' away "$rdev/spare/$slot.alive" "$HOME/held"; until [ -e "$HOME/held" ]; do sleep 0.1; done; exit 4',
  ),

  // Its directory.
  attempt(
    'removes its directory and kills its guard, and goes on',
    [...gone, ...unwatched],
    'echo up; alone; rm -rf "$mine"; exec sleep 600',
  ),
  attempt(
    'puts a file in the place of its directory, and goes on',
    [...gone, ...unwatched],
    'echo up; rm -rf "$mine"; echo x >"$mine"; exec sleep 600',
  ),
  attempt(
    'puts a link to the directory of another in the place of its own, and goes on',
    [...gone, ...unwatched],
    'echo up; for other in "$rdev"/attempts/*; do [ "$other" = "$mine" ] || break; done; rm -rf "$mine"; ln -s "$other" "$mine"; exec sleep 600',
  ),
  attempt('closes its directory', [...own, ...unwatched], 'chmod 000 "$mine"; exit 4'),
  attempt('deletes its output while it writes', own, 'echo up; rm "$mine/stdout"; echo more; exit 4'),
  attempt('truncates its output while it writes', own, 'echo up; : >"$mine/stdout"; echo more; exit 4'),
  attempt(
    'puts a fifo and a device without end in the place of its output',
    own,
    'echo up; rm "$mine"/std*; mkfifo "$mine/stdout"; ln -s /dev/zero "$mine/stderr"; exit 4',
  ),
  attempt(
    'puts fifos in the place of all its files',
    [...own, ...unwatched],
    `for file in supervisor heartbeat reason room followers note.session; do ${junk('"$mine/$file"')}; done; exit 4`,
  ),
  attempt('changes how much the kernel likes to kill it', own, 'echo 1000 >/proc/self/oom_score_adj; exit 4'),

  // The home.
  attempt(
    'removes the folders of the home, but that of attempts',
    own,
    'cd "$rdev" && rm -rf floors incoming spare locks lib name contact; exit 4',
  ),
  attempt('puts files where those were', own, 'cd "$rdev" && for x in floors incoming spare locks; do rm -rf $x; echo x >$x; done; exit 4'),
  attempt(
    'puts links to nowhere where those were',
    own,
    'cd "$rdev" && for x in floors incoming spare locks; do rm -rf $x; ln -s /nowhere/at/all $x; done; exit 4',
  ),
  attempt('removes the home, with the attempts of all', [...gone, ...unwatched], 'rm -rf "$rdev"; exec sleep 600', {
    beside: [...gone, ...unwatched],
  }),
  attempt(
    'writes programs wherever a shell could look for some',
    own,
    `mkdir -p "$rdev/lib"; for file in "$rdev"/lib/x.sh "$rdev"/*.sh "$rdev"/*/x.sh; do echo 'echo changed; exit 9' >"$file"; done; exit 4`,
  ),
  attempt(
    'puts fifos in the place of contact, name, floors and locks',
    own,
    `cd "$rdev"; for file in contact name "floors/\${RDEV_ATTEMPT%.*}" locks/main@0123456789abcdef; do ${junk('"$file"')}; done; exit 4`,
  ),
  attempt(
    'writes that nobody has asked for the pod since its boot',
    own,
    'i=0; while [ $i -lt 40 ]; do echo 1 >"$rdev/contact"; sleep 0.1; i=$((i+1)); done; exit 4',
  ),
  attempt(
    'raises the floors of all tasks',
    own,
    'for file in "$rdev"/attempts/*; do file=${file##*/}; echo 1000 >>"$rdev/floors/${file%.*}"; done; exit 4',
  ),
  attempt(
    'takes all locks in the name of attempts that are none',
    own,
    `cd "$rdev"; mkdir -p locks attempts/y.1; echo '1 0123456789abcdef 1 x' >attempts/y.1/supervisor; echo y.1 >locks/main@0123456789abcdef; i=100; while [ $i -lt 400 ]; do echo y.1 >locks/main@$i; i=$((i+1)); done; exit 4`,
  ),
  attempt('writes a lock whose name is a command', own, `echo x >"$rdev/locks/main@x'; exit 9; '"; exit 4`),
  attempt(
    'makes the directory of its next attempt, with a record',
    // Lost if the pod was listed in between: then it has that attempt already, and lets none of its number start.
    [...own, ...unwatched, ...gone],
    `case $RDEV_ATTEMPT in *.1) ;; *) exit 4 ;; esac
next=\${mine%.*}.2; mkdir "$next"; mkfifo "$next/stdout"; echo '0 0 0 0' >"$next/begun"; own=$mine mine=$next; record 0 0 cancelled; mine=$own; alone; rm -rf "$mine"; exec sleep 600`,
    { again: true },
  ),
  attempt(
    'makes a file with the name of its next attempt',
    [...own, 'failed POD_UNAVAILABLE -', ...gone],
    `case $RDEV_ATTEMPT in *.1) ;; *) exit 4 ;; esac
echo x >"\${mine%.*}.2"; alone; rm -rf "$mine"; exec sleep 600`,
    { again: true },
  ),
  attempt(
    'makes 4,000 files among those of waiting supervisors',
    own,
    'i=1000; while [ $i -lt 5000 ]; do : >"$rdev/spare/00000000000${i}f.alive"; i=$((i+1)); done; exit 4',
  ),

  // The others.
  attempt(
    'writes to the fifos of waiting supervisors and holds them open',
    own,
    `for fifo in "$rdev"/spare/*.orders; do [ ! -p "$fifo" ] || { exec 3<>"$fifo"; printf "junk '\\n\\n" >&3; setsid sleep 600 & } done; sleep 1; exit 4`,
  ),
  attempt(
    'takes what is written to the fifos of waiting supervisors',
    own,
    'for fifo in "$rdev"/spare/*.orders; do [ ! -p "$fifo" ] || cat "$fifo" >/dev/null & done; sleep 1; exit 4',
  ),
  attempt(
    'kills the shells of the agent and its followers',
    own,
    `for i in 1 2 3; do for pid in $(others); do case $(tr '\\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) in *rdev_block* | tail*) kill -9 "$pid" ;; esac; done; sleep 0.5; done; exit 4`,
  ),
  // Where it kills the first process of its container, all of them end.
  attempt('kills every process of the pod that it finds', [...own, ...unwatched, ...gone], 'kill -9 $(others); exit 4', {
    beside: [...unwatched, ...gone, ...killed],
  }),
  attempt('goes away with a cleared environment and a session of its own', own, `away 'exec sleep 20'; exit 4`),
  attempt(
    'makes 10,000 directories of attempts',
    own,
    'cd "$rdev/attempts"; name=${RDEV_ATTEMPT%?????.*}; i=10000; while [ $i -lt 20000 ]; do echo "$name$i.1"; i=$((i+1)); done | xargs mkdir; exit 4',
  ),
]
