// A plain command as an attempt: its script starts, its output goes up as it comes, its exit code says how it ended.

import type { Cursor, ExitRecord } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import type { Attempt, Chunk, CommandRunner, NewEvent } from '../ports.ts'
import { quote } from '../sh.ts'

/** What a command needs of its attempt. */
export type CommandAttempt = Pick<Attempt, 'assignment' | 'cursor' | 'process' | 'output' | 'exited' | 'emit' | 'after'>

export async function runCommand(
  attempt: CommandAttempt,
  script: string,
  resultOf: (record: ExitRecord) => AgentResult,
): Promise<AgentResult> {
  await attempt.process({ script, stdin: '', timeout_s: attempt.assignment.timeout_s })
  await pumpOutput(attempt)
  return resultOf(await attempt.exited())
}

/** Reads to the end, also when the attempt is being cancelled: what was written is told. */
async function pumpOutput(attempt: CommandAttempt): Promise<void> {
  const lines = new OutputLines(attempt.cursor)
  const tell = async (found: ReturnType<OutputLines['push']>) => {
    for (const { event, cursor } of found) await attempt.emit([event], cursor)
  }
  const chunks = attempt.output()[Symbol.asyncIterator]()
  let next = chunks.next()
  for (;;) {
    const result = lines.holds ? await orSilence(attempt, next) : await next
    if (result === 'silence') {
      await tell(lines.flush(false))
      // Half a character may be left: only another chunk, or the end, completes it.
      await next
      continue
    }
    if (result.done) break
    await tell(lines.push(result.value))
    next = chunks.next()
  }
  await tell(lines.flush(true))
}

function orSilence(attempt: Pick<Attempt, 'after'>, next: Promise<IteratorResult<Chunk>>): Promise<IteratorResult<Chunk> | 'silence'> {
  return new Promise((resolve, reject) => {
    const cancel = attempt.after(silenceMs, () => resolve('silence'))
    next.finally(cancel).then(resolve, reject)
  })
}

/** Kind `shell`: the command is the script. It is not an argument of `sh`, where every process of the pod could read it. */
export const shell: CommandRunner = {
  execute: (attempt) => {
    const { command } = attempt.assignment
    if (typeof command !== 'string')
      return Promise.resolve({ status: 'failed', error_code: 'INVALID_SPEC', error: 'command must be a text' })
    return runCommand(attempt, `${command}\n`, ({ exit_code }) =>
      exit_code === 0
        ? { status: 'succeeded', exit_code }
        : { status: 'failed', exit_code, error: `the command ended with exit code ${exit_code}` },
    )
  },
}

/** What `sh` answers when there is no such command. */
const notFound = 127

/** Kind `git`: the command is git's arguments. Nobody is there to answer a prompt or to leave a pager. */
export const git: CommandRunner = {
  execute: (attempt) => {
    const { command } = attempt.assignment
    if (typeof command !== 'object' || command === null) {
      return Promise.resolve({ status: 'failed', error_code: 'INVALID_SPEC', error: 'command must be a list of arguments' })
    }
    const script = `export GIT_TERMINAL_PROMPT=0 GIT_PAGER=cat GIT_EDITOR=true\nexec git ${command.map(quote).join(' ')}\n`
    return runCommand(attempt, script, ({ exit_code }) => {
      if (exit_code === 0) return { status: 'succeeded', exit_code }
      if (exit_code === notFound) return { status: 'failed', exit_code, error_code: 'BINARY_MISSING', error: 'there is no git in the pod' }
      return { status: 'failed', exit_code, error: `git ended with exit code ${exit_code}` }
    })
  },
}

// The output of a plain command as `output` events. Whole lines where the process writes lines; a line that stays unfinished is shown after a
// short silence (a prompt, a progress bar) or when it grows too long; never is a UTF-8 character torn, and what is no UTF-8 is replaced.
// Every event comes with the cursor after its last byte, so reading can go on from any of them.

/** JSON makes at most six bytes of one, so an event stays below its limit whatever the bytes are. */
export const maxOutputTextBytes = 32 * 1024
/** An unfinished line is emitted after this much silence. */
export const silenceMs = 100

interface Held {
  offset: number
  bytes: Buffer
}

const newline = 0x0a

/** How many bytes at the end belong to a character that is not complete yet: 0 to 3. */
export function incompleteTail(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if ((byte & 0xc0) === 0x80) continue
    const size = byte >= 0xf0 && byte < 0xf8 ? 4 : byte >= 0xe0 && byte < 0xf0 ? 3 : byte >= 0xc2 && byte < 0xe0 ? 2 : 1
    return size > back ? back : 0
  }
  return 0
}

export class OutputLines {
  #cursor: Cursor
  readonly #held: Record<'stdout' | 'stderr', Held>

  constructor(cursor: Cursor) {
    this.#cursor = { stdout: cursor.stdout, stderr: cursor.stderr }
    this.#held = {
      stdout: { offset: cursor.stdout, bytes: Buffer.alloc(0) },
      stderr: { offset: cursor.stderr, bytes: Buffer.alloc(0) },
    }
  }

  get holds(): boolean {
    return this.#held.stdout.bytes.length > 0 || this.#held.stderr.bytes.length > 0
  }

  /** Takes a chunk. Answers everything up to the last newline; of a line without one, what is above the limit of an event. */
  push(chunk: Chunk): { event: NewEvent; cursor: Cursor }[] {
    const held = this.#held[chunk.stream]
    // Bytes that come again after a reconnect are left out.
    const fresh = chunk.bytes.subarray(Math.max(0, held.offset + held.bytes.length - chunk.offset))
    held.bytes = held.bytes.length === 0 ? fresh : Buffer.concat([held.bytes, fresh])
    const whole = held.bytes.lastIndexOf(newline) + 1
    return this.#take(chunk.stream, whole, false)
  }

  /** What is held, without a character that is not complete yet; if the output has `ended`, all of it. */
  flush(ended: boolean): { event: NewEvent; cursor: Cursor }[] {
    return (['stdout', 'stderr'] as const).flatMap((stream) => {
      const { bytes } = this.#held[stream]
      return this.#take(stream, bytes.length - (ended ? 0 : incompleteTail(bytes)), ended)
    })
  }

  #take(stream: 'stdout' | 'stderr', whole: number, ended: boolean): { event: NewEvent; cursor: Cursor }[] {
    const held = this.#held[stream]
    const events: { event: NewEvent; cursor: Cursor }[] = []
    let from = 0
    while (from < whole || held.bytes.length - from > maxOutputTextBytes) {
      const to = this.#end(held.bytes, from, whole, ended)
      const text = held.bytes.toString('utf8', from, to)
      this.#cursor = { ...this.#cursor, [stream]: held.offset + to }
      events.push({ event: { type: 'output', data: { stream, text } }, cursor: this.#cursor })
      from = to
    }
    // A copy, so that a small rest does not keep a large chunk in memory.
    held.bytes = Buffer.from(held.bytes.subarray(from))
    held.offset += from
    return events
  }

  /** Where the event that begins at `from` ends: after all whole lines if they fit, else after the last newline or character that fits. */
  #end(bytes: Buffer, from: number, whole: number, ended: boolean): number {
    if (whole > from && whole - from <= maxOutputTextBytes) return whole
    const limit = Math.min(bytes.length, from + maxOutputTextBytes)
    const line = bytes.lastIndexOf(newline, limit - 1) + 1
    if (line > from) return line
    const last = ended && limit === bytes.length
    return limit - (last ? 0 : incompleteTail(bytes.subarray(from, limit)))
  }
}
