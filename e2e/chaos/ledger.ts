// The ledger: what the tasks' own processes write, in a folder that the system does not know. The judge knows only from it what really ran.
// `ledger` is append-only: `start <attempt> <pid> <uptime>` and `end <attempt> <exit code> <uptime>`, uptime in hundredths of a second.
// `<attempt>.out` holds each line that an attempt printed, written before it was printed.
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'

export interface Mark {
  readonly what: 'start' | 'end'
  /** `<task>.<n>` */
  readonly attempt: string
  /** The process id at the start, the exit code at the end. */
  readonly value: number
  readonly uptime: number
}

export interface Ledger extends AsyncDisposable {
  readonly directory: string
  marks(): Promise<Mark[]>
  starts(taskId: string): Promise<Mark[]>
  /** Resolves when marks satisfy `wanted`. */
  until(wanted: (marks: readonly Mark[]) => boolean): Promise<void>
  /** What the attempt printed so far; undefined if it printed nothing. */
  printed(attempt: string): Promise<string | undefined>
  /** When it last printed, by the clock of the marks; undefined if it never did. */
  lastPrinted(attempt: string): Promise<number | undefined>
  readonly scripts: Scripts
}

/** Shell scripts for tasks; all of them sign the ledger. */
export interface Scripts {
  /** Prints `lines` numbered lines with a pause after each. */
  counting(lines: number, pauseS: number): string
  /** Prints bursts of 200 lines as fast as it can, with a pause between bursts. */
  chatter(bursts: number, pauseS: number): string
  /** Prints a line, then ignores INT and TERM for ever. */
  deaf(): string
  /** Leaves a child in a session of its own that prints nothing, and goes on counting. */
  daemoniser(lines: number, pauseS: number): string
  /** Prints a line and exits with this code. */
  quick(exitCode?: number): string
  /** A command line for a tool of a code agent: it signs a start and prints nothing. */
  toolCall(command: string): string
  /** Any body: `say TEXT` prints and notes a line. */
  body(body: string): string
}

export async function openLedger(): Promise<Ledger> {
  const directory = await mkdtemp(`${tmpdir()}/rdev-ledger-`)
  await mkdir(`${directory}/out`)
  const read = async (): Promise<Mark[]> => {
    const text = await readFile(`${directory}/ledger`, 'utf8').catch(() => '')
    return text.split('\n').flatMap((line) => {
      const [what = '', attempt = '', value = '', uptime = ''] = line.split(' ')
      return what === 'start' || what === 'end' ? [{ what, attempt, value: Number(value), uptime: Number(uptime) }] : []
    })
  }
  return {
    directory,
    scripts: scriptsFor(directory),
    marks: read,
    starts: async (taskId) => (await read()).filter(({ what, attempt }) => what === 'start' && attempt.startsWith(`${taskId}.`)),
    until: async (wanted) => {
      // Polling: it costs less than a file watch, and the number of watches is limited.
      while (!wanted(await read())) await new Promise((resolve) => setTimeout(resolve, 20))
    },
    printed: (attempt) => readFile(`${directory}/out/${attempt}`, 'utf8').catch(() => undefined),
    lastPrinted: async (attempt) => {
      const file = await stat(`${directory}/out/${attempt}`).catch(() => undefined)
      const uptime = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]) * 100
      return file && uptime - (Date.now() - file.mtimeMs) / 10
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}

/** `directory` as the task's processes see it. */
export function scriptsFor(directory: string): Scripts {
  // Short appends are atomic. Only builtins, so that the ledger does not make the tasks slower.
  const signed = (body: string, end: string) => `ledger='${directory}'
now() { read -r up _ </proc/uptime; up=\${up%.*}\${up#*.}; }
say() { printf '%s\\n' "$1" >>"$ledger/out/$RDEV_ATTEMPT"; printf '%s\\n' "$1"; }
now; printf 'start %s %s %s\\n' "$RDEV_ATTEMPT" "$$" "$up" >>"$ledger/ledger"
${body}
${end}`
  const finish = (exitCode: number) =>
    `now; printf 'end %s %s %s\\n' "$RDEV_ATTEMPT" ${exitCode} "$up" >>"$ledger/ledger"; exit ${exitCode}`
  const count = (lines: number, pauseS: number) =>
    `i=0; while [ $i -lt ${lines} ]; do i=$((i + 1)); say "line $i of $RDEV_ATTEMPT"; sleep ${pauseS}; done`
  return {
    counting: (lines, pauseS) => signed(count(lines, pauseS), finish(0)),
    chatter: (bursts, pauseS) =>
      signed(
        `b=0; while [ $b -lt ${bursts} ]; do b=$((b + 1)); i=0; while [ $i -lt 200 ]; do i=$((i + 1)); say "burst $b line $i of $RDEV_ATTEMPT"; done; sleep ${pauseS}; done`,
        finish(0),
      ),
    deaf: () => signed(`trap '' INT TERM; say deaf; while :; do sleep 1; done`, ''),
    daemoniser: (lines, pauseS) => signed(`setsid sh -c 'while :; do sleep 1; done' >/dev/null 2>&1 & ${count(lines, pauseS)}`, finish(0)),
    quick: (exitCode = 0) => signed('say quick', finish(exitCode)),
    toolCall: (command) => `echo start $RDEV_ATTEMPT 0 0 >> ${directory}/ledger; ${command}`,
    body: (body) => signed(body, finish(0)),
  }
}
