// The Worker's side of task logs: the port `TaskLogs` on the objects. A reader has a socket to the log that carries stored text. When the
// socket breaks, or the reader was too slow for it, the reader fetches what it missed by pages and opens a new socket. So every reader sees
// each entry once, in order, at its own pace, whatever happens to the object.

import { fullJitter } from '@rdev/shared/domain/backoff'
import { closeCodes } from '@rdev/shared/wire/limits'
import type { Deps } from '../../ports/deps.ts'
import type { LogItem, LogEntry, TaskLogs } from '../../ports/task-logs.ts'
import { pause } from '../pause.ts'
import type { TaskLogObject } from './object.ts'

/** The log is told each time the consumer has taken this much: a quarter of what a reader may fall behind. */
const sayTakenChars = 256 * 1024
/** After this many failures in a row `follow` throws; the client resumes. */
const maxFailures = 8
const pageLimit = 10_000

interface Reading {
  /** Seq of the last entry given to the consumer. */
  last: number
  finished: boolean
}

export function createTaskLogs(namespace: DurableObjectNamespace<TaskLogObject>, random: Deps['random']): TaskLogs {
  const page = async (taskId: string, after: number, limit: number) => {
    const { body, finished } = await namespace.getByName(taskId).page(after, limit)
    return { lines: parseLines(body).filter((item) => item.seq !== null), finished }
  }

  const connect = async (taskId: string, query: string, signal: AbortSignal): Promise<SocketReader> => {
    const response = await namespace.getByName(taskId).fetch(`http://log/read?${query}`, { headers: { upgrade: 'websocket' } })
    if (response.webSocket === null) throw new Error(`a task log answered ${response.status} to a reader`)
    return openSocket(response.webSocket, signal)
  }

  /** Pages until nothing more is stored. */
  async function* readPages(taskId: string, reading: Reading, signal: AbortSignal): AsyncGenerator<readonly LogItem[], void> {
    while (!signal.aborted && !reading.finished) {
      const { lines, finished } = await page(taskId, reading.last, pageLimit)
      const fresh = takeFresh(lines, reading)
      if (fresh.length > 0) yield fresh
      reading.finished ||= finished
      if (lines.length === 0) return
    }
  }

  /** Live, until the socket closes. Answers its close code. */
  async function* readSocket(taskId: string, reading: Reading, deltas: boolean, signal: AbortSignal) {
    const socket = await connect(taskId, `after=${reading.last}${deltas ? '&deltas=1' : ''}`, signal)
    try {
      let taken = 0
      for (;;) {
        const frame = await socket.next()
        if (frame === undefined) return socket.closeCode
        const lines = takeFresh(parseLines(frame), reading)
        if (lines.length > 0) yield lines
        if (reading.finished) return closeCodes.ended
        // Report what was taken only now, when the consumer asks for more: the log must not push what nobody reads.
        taken += frame.length
        if (taken >= sayTakenChars) {
          socket.send(String(taken))
          taken = 0
        }
      }
    } finally {
      socket.close()
    }
  }

  return {
    async sync(task) {
      await namespace.getByName(task.id).sync(task)
    },
    async cancel(task, graceS) {
      await namespace.getByName(task.id).cancel(task, graceS)
    },
    page,

    async *follow(taskId, { after, deltas, signal }) {
      const reading: Reading = { last: after, finished: false }
      let failures = 0
      while (!signal.aborted && !reading.finished) {
        const before = reading.last
        let error: unknown
        try {
          const code: number = yield* readSocket(taskId, reading, deltas, signal)
          if (code === closeCodes.ended) return
          if (code === closeCodes.behind) yield* readPages(taskId, reading, signal)
        } catch (cause) {
          error = cause
        }
        if (signal.aborted || reading.finished) return
        failures = reading.last > before ? 0 : failures + 1
        if (failures > maxFailures) throw error ?? new Error('a task log keeps closing its readers')
        // The first retry is immediate: a deploy or an eviction cuts every socket and is over by then. Later ones have full jitter.
        if (failures > 1) await pause(fullJitter(failures, random.chance(), 50, 2_000), signal)
      }
    },

    async ended(taskId, waitMs, signal) {
      const time = AbortSignal.any([signal, AbortSignal.timeout(waitMs)])
      for (let failures = 0; !time.aborted && failures <= maxFailures; failures++) {
        const socket = await connect(taskId, 'end=1', time)
        while ((await socket.next()) !== undefined);
        if (socket.closeCode === closeCodes.ended) return true
        if (failures > 0 && !time.aborted) await pause(fullJitter(failures, random.chance(), 50, 2_000), time)
      }
      return false
    },
  }
}

/** Drops entries that the consumer has: a page may overlap what a socket brought. */
function takeFresh(items: readonly LogItem[], reading: Reading): readonly LogItem[] {
  const first = items.find((item): item is LogEntry => item.seq !== null)
  const fresh =
    first !== undefined && first.seq <= reading.last ? items.filter((item) => item.seq === null || item.seq > reading.last) : items
  const last = fresh.findLast((item): item is LogEntry => item.seq !== null)
  if (last !== undefined) {
    reading.last = last.seq
    reading.finished = last.type === 'task.finished'
  }
  return fresh
}

/** `<seq> <type> <json>` a line; the seq of a delta is `-`. */
function parseLines(body: string): LogItem[] {
  if (body === '') return []
  return body.split('\n').map((line) => {
    const space = line.indexOf(' ')
    const next = line.indexOf(' ', space + 1)
    const json = line.slice(next + 1)
    const seq = line.slice(0, space)
    return seq === '-' ? { seq: null, type: 'message.delta', json } : { seq: Number(seq), type: line.slice(space + 1, next), json }
  })
}

// The Worker's end of a socket to an object, as frames to be asked for. What was not asked for yet waits here; the far side bounds how much.

export interface SocketReader {
  /** The next frame; undefined when the socket is closed or the signal aborted, and nothing is left. */
  next(): Promise<string | undefined>
  send(text: string): void
  close(): void
  /** 1006 until a close frame came. */
  readonly closeCode: number
}

export function openSocket(socket: WebSocket, signal: AbortSignal): SocketReader {
  const frames: string[] = []
  let taken = 0
  let closed = false
  let closeCode = 1006
  let wake: (() => void) | null = null

  const stir = () => {
    wake?.()
    wake = null
  }
  const shut = () => {
    if (closed) return
    closed = true
    signal.removeEventListener('abort', shut)
    try {
      socket.close(1000)
    } catch {
      // Closed by the far side already.
    }
    stir()
  }
  socket.addEventListener('message', ({ data }) => {
    if (closed || typeof data !== 'string') return
    frames.push(data)
    stir()
  })
  socket.addEventListener('close', ({ code }) => {
    closeCode = code
    shut()
  })
  socket.addEventListener('error', shut)
  signal.addEventListener('abort', shut)
  socket.accept()
  if (signal.aborted) shut()

  return {
    async next() {
      if (taken === frames.length) {
        frames.length = taken = 0
        // One consumer, and whatever wakes it brought a frame or the end.
        if (!closed) await new Promise<void>((resolve) => (wake = resolve))
      }
      return signal.aborted ? undefined : frames[taken++]
    },
    send(text) {
      if (!closed) socket.send(text)
    },
    close: shut,
    get closeCode() {
      return closeCode
    },
  }
}
