// A shell of a pod with the library loaded. It answers in lines; when it becomes a follower it sends raw bytes on the same streams.

import type { PodHost, Shell } from '../ports.ts'
import { block, loadBlock, type Part } from './library.ts'

/** How long a pod may take to answer a line. A new exec takes 60 ms, on a busy computer seconds. */
const answerMs = 15_000
/** An answer is a name, a state or an error message. A longer line is an error. */
const maxLineBytes = 64 * 1024

/** The stream was cut, or the shell did not answer in time. It says nothing about the processes in the pod. */
export class ShellCut extends Error {
  constructor(pod: string, what: string) {
    super(`shell of pod ${pod}: ${what}`)
    this.name = 'ShellCut'
  }
}

export interface Session {
  readonly pod: string
  readonly shell: Shell
  /** Given when there may be something to read, and at the end. */
  readonly signal: Signal
  /** False once the stream is gone. */
  open(): boolean
  /** The shell evaluates `lines`; `payload` is what they read from stdin. */
  send(lines: string, payload?: string): void
  /** The next line of stdout; what follows it stays unread. If it does not come in time, destroys the shell and rejects with ShellCut. */
  line(boundMs?: number): Promise<string>
  destroy(): void
}

/** Opens a shell and loads a part of the library. Rejects with ShellCut, or with the pod host's error. */
export async function openSession(host: PodHost, pod: string, part: Part): Promise<Session> {
  const session = await bounded(host, pod)
  session.shell.stdin.write(loadBlock(part))
  await session.line()
  return session
}

/** `host.shell` with a limit of time. A shell that opens too late is destroyed. */
async function bounded(host: PodHost, pod: string): Promise<Session> {
  let timer: NodeJS.Timeout | undefined
  let late = false
  const opening = host.shell(pod).then((shell) => {
    if (late) shell.destroy()
    return shell
  })
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      late = true
      reject(new ShellCut(pod, 'did not open in time'))
    }, answerMs)
  })
  try {
    return wrap(pod, await Promise.race([opening, timeout]))
  } finally {
    clearTimeout(timer)
  }
}

function wrap(pod: string, shell: Shell): Session {
  let open = true
  const signal = createSignal()
  void shell.closed.then(() => {
    open = false
    signal.ring()
  })
  for (const stream of [shell.stdout, shell.stderr]) for (const event of ['readable', 'end', 'close']) stream.on(event, signal.ring)
  // `closed` follows an error of a stream. Without these listeners an error would end this program.
  for (const stream of [shell.stdin, shell.stdout, shell.stderr]) stream.on('error', () => {})

  const destroy = (): void => {
    open = false
    shell.destroy()
    signal.ring()
  }

  const line = async (boundMs = answerMs): Promise<string> => {
    const parts: Buffer[] = []
    let length = 0
    const deadline = performance.now() + boundMs
    for (;;) {
      const chunk: Buffer | null = shell.stdout.read()
      if (chunk) {
        const end = chunk.indexOf(10)
        parts.push(end < 0 ? chunk : chunk.subarray(0, end))
        if (end >= 0) {
          if (end + 1 < chunk.length) shell.stdout.unshift(chunk.subarray(end + 1))
          return Buffer.concat(parts).toString('utf8')
        }
        length += chunk.length
      } else if (!open || shell.stdout.readableEnded || shell.stdout.destroyed) {
        destroy()
        throw new ShellCut(pod, 'cut before it answered')
      } else if (length > maxLineBytes || !(await signal.wait(deadline - performance.now()))) {
        destroy()
        throw new ShellCut(pod, length > maxLineBytes ? 'answered too much' : 'did not answer in time')
      }
    }
  }

  return {
    pod,
    shell,
    signal,
    open: () => open && !shell.stdout.destroyed,
    send: (lines, payload = '') => void shell.stdin.write(block(lines) + payload),
    line,
    destroy,
  }
}

/** Wakes one waiter; a ring that nobody waited for is kept for the next. Rung by event listeners that are attached once, not once per wait. */
export interface Signal {
  ring(): void
  /** True when rung, false after `boundMs`. */
  wait(boundMs?: number): Promise<boolean>
}

export function createSignal(): Signal {
  let rung = false
  let wake: ((rung: boolean) => void) | undefined
  return {
    ring() {
      if (wake) wake(true)
      else rung = true
    },
    wait(boundMs) {
      if (rung) {
        rung = false
        return Promise.resolve(true)
      }
      return new Promise((resolve) => {
        const timer = boundMs === undefined ? undefined : setTimeout(() => wake?.(false), Math.max(0, boundMs))
        wake = (how) => {
          wake = undefined
          clearTimeout(timer)
          resolve(how)
        }
      })
    },
  }
}
