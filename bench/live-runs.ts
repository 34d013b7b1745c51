// Many live runs, each with a reader. Each run writes a numbered line at intervals; the readers tell when they have caught up.
import { readFile } from 'node:fs/promises'
import { inFlight } from './in-flight.ts'
import { trueTask, type QueueStack } from './queue-stack.ts'

export const lineEveryMs = Number(process.env.RDEV_BENCH_LINE_MS ?? 100)
/** Shorter than the second that EventSource waits, because the system is measured and not the client. */
const retryMs = 100

/** One small process that starts no other, so that two hundred of them cost little. */
const command = `exec perl -e '$| = 1; while (1) { print ++$n, "\\n"; select undef, undef, undef, ${lineEveryMs / 1000} }'`

export interface LiveRun {
  readonly id: string
  /** The number of the last line that its reader has seen, and when. */
  seen: number
  seenAt: number
  /** Lines that came twice or not at all. */
  wrong: number
  /** Resolves at the first line of this number or a later one. */
  reaches(line: number): Promise<number>
}

export interface LiveRuns {
  readonly runs: readonly LiveRun[]
  /** The last whole line in each run's file now. */
  written(): Promise<readonly number[]>
  stop(): Promise<void>
}

export async function startRuns(stack: QueueStack, count: number): Promise<LiveRuns> {
  const stopping = new AbortController()
  const readers: Promise<void>[] = []
  const runs: LiveRun[] = []
  await inFlight(count, 2, async () => {
    const { id } = await stack.client.task({ ...trueTask, command })
    const run = newRun(id)
    runs.push(run)
    readers.push(read(stack, run, stopping.signal))
    // A few at a time: this bench does not measure two hundred starts at once.
    await run.reaches(1)
  })
  return {
    runs,
    written: () => Promise.all(runs.map(({ id }) => lastLine(`${stack.dataDirectory}/pods/demo/.rdev/attempts/${id}.1/stdout`))),
    stop: async () => {
      stopping.abort()
      await Promise.all(readers)
      await inFlight(count, 8, (index) => stack.client.json('POST', `/v1/tasks/${runs[index]!.id}/cancel`))
    },
  }
}

function newRun(id: string): LiveRun & { notify(): void } {
  const waiting: { readonly line: number; readonly resolve: (at: number) => void }[] = []
  const run = {
    id,
    seen: 0,
    seenAt: 0,
    wrong: 0,
    reaches: (line: number) =>
      run.seen >= line ? Promise.resolve(run.seenAt) : new Promise<number>((resolve) => waiting.push({ line, resolve })),
    notify: () => {
      for (let i = waiting.length - 1; i >= 0; i--) if (waiting[i]!.line <= run.seen) waiting.splice(i, 1)[0]!.resolve(run.seenAt)
    },
  }
  return run
}

/** Reads for ever, resuming after every cut. */
async function read(stack: QueueStack, run: LiveRun, signal: AbortSignal): Promise<void> {
  let after = 0
  while (!signal.aborted) {
    try {
      for await (const { seq, type, data } of stack.client.events(run.id, { after, signal })) {
        after = seq
        if (type === 'output') take(run, String(data.text))
      }
    } catch {
      // The control plane is away.
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, retryMs))
  }
}

function take(run: LiveRun, text: string): void {
  for (const line of text.split('\n')) {
    if (line === '') continue
    if (Number(line) !== run.seen + 1) run.wrong++
    run.seen = Number(line)
  }
  run.seenAt = performance.now()
  ;(run as ReturnType<typeof newRun>).notify()
}

async function lastLine(file: string): Promise<number> {
  const text = await readFile(file, 'latin1')
  const end = text.lastIndexOf('\n')
  return Number(text.slice(text.lastIndexOf('\n', end - 1) + 1, end))
}
