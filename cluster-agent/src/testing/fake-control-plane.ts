// Both sockets of the control plane, as docs/protocol.md describes them, on a loopback port: a small hub, and logs that number, fence and
// acknowledge. It follows the protocol unless a test lets it cut, delay or hold. Tests read its state and wait for changes.

import { once } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { WebSocketServer } from 'ws'
import type { Assignment, AttemptRef, Cursor } from '@rdev/shared/domain/attempt'
import { startCursor } from '@rdev/shared/domain/attempt'
import type { AttemptEvent } from '@rdev/shared/domain/event'
import type { TaskOutcome } from '@rdev/shared/domain/task'
import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import type { HubDown, HubUp } from '@rdev/shared/wire/hub-frames'
import { hubUpSchema } from '@rdev/shared/wire/hub-frames'
import { closeCodes, pingText, pongText } from '@rdev/shared/wire/limits'
import type { TaskCommand, TaskDown, TaskUp } from '@rdev/shared/wire/task-frames'
import { taskUpSchema } from '@rdev/shared/wire/task-frames'

export const clusterKey = 'the-key-of-the-cluster'

/** What to do with a frame of an attempt: `lose` it and cut, or store it and cut before the acknowledgement. */
export type Fault = 'none' | 'lose' | 'lose_ack'

export interface FakeTask {
  readonly assignment: Assignment
  status: 'assigned' | 'running' | 'rejected' | 'ended'
  readonly events: AttemptEvent[]
  cursor: Cursor
  outcome: TaskOutcome | undefined
  rejected: { reason: string; detail?: string | undefined } | undefined
  /** The agent told the hub that the attempt is finished. */
  finished: boolean
  cancel: (TaskCommand & { type: 'cancel' }) | undefined
  epoch: number
  line: WebSocket | undefined
  lines: number
  readonly tokens: Map<string, number>
  /** Bytes of frames received and not acknowledged. */
  unackedBytes: number
  maxUnackedBytes: number
  readonly deltas: unknown[]
}

export class FakeControlPlane {
  readonly tasks = new Map<string, FakeTask>()
  readonly hubFrames: HubUp[] = []
  connections = 0
  epoch = 0
  /** Every connection is reset at once and counted, as if there were no control plane. */
  #away = false
  dialsWhileAway = 0
  fault: (task: FakeTask, frame: TaskUp) => Fault = () => 'none'
  /** Acknowledgements wait for this promise. */
  gate: Promise<void> = Promise.resolve()
  /** Upgrades are refused with this status, and Retry-After if given. */
  refuse: { status: number; retryAfterS?: number } | undefined
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  readonly #changed = new Set<() => void>()
  #hub: WebSocket | undefined
  #tokens = 0

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket) => {
      if (this.#away) {
        this.dialsWhileAway++
        this.#change()
        return socket.destroy()
      }
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => this.#upgrade(request, socket, head))
  }

  static async start(port = 0): Promise<FakeControlPlane> {
    const server = createServer()
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return new FakeControlPlane(server)
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** Resolves when `what` is true; checks again after every frame. Rejects after `maxMs`. */
  async until(what: () => boolean, maxMs = 60_000): Promise<void> {
    if (what()) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => reject(new Error(`not true after ${maxMs} ms: ${String(what)}`)), maxMs)
    const look = () => {
      if (what()) resolve()
    }
    this.#changed.add(look)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      this.#changed.delete(look)
    }
  }

  leave(): void {
    this.#away = true
    for (const socket of this.#sockets) socket.destroy()
  }
  comeBack(): void {
    this.#away = false
  }

  get connected(): boolean {
    return this.#hub !== undefined
  }

  assign(assignment: Omit<Assignment, 'token'>): FakeTask {
    const task: FakeTask = {
      assignment: { ...assignment, token: '' },
      status: 'assigned',
      events: [],
      cursor: startCursor,
      outcome: undefined,
      rejected: undefined,
      finished: false,
      cancel: undefined,
      epoch: 0,
      line: undefined,
      lines: 0,
      tokens: new Map(),
      unackedBytes: 0,
      maxUnackedBytes: 0,
      deltas: [],
    }
    this.tasks.set(assignment.task_id, task)
    this.sendHub({ type: 'assign', tasks: [this.tokened(task)] })
    return task
  }

  /** Sends the same assignment again, like a hub that lost its state. */
  repeat(task: FakeTask): void {
    this.sendHub({ type: 'assign', tasks: [this.tokened(task)] })
  }

  cancel(task: FakeTask, grace_s = 5): void {
    task.cancel = { type: 'cancel', grace_s }
    this.#down(task, task.cancel)
  }

  /** The task ends without this agent: it has no live attempt any more. */
  abandon(task: FakeTask): void {
    task.status = 'ended'
  }

  sendHub(frame: HubDown): void {
    this.#hub?.send(encodeFrame(frame))
  }
  closeHub(code: number): void {
    this.#hub?.close(code, 'by the test')
  }
  cutHub(): void {
    this.#hub?.terminate()
  }
  cutLine(task: FakeTask): void {
    task.line?.terminate()
  }

  tokened(task: FakeTask): Assignment {
    const token = `token-${++this.#tokens}`
    task.tokens.set(token, this.epoch)
    return { ...task.assignment, token }
  }

  #change(): void {
    for (const look of this.#changed) look()
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const answer = (status: number, more = '') =>
      socket.end(`HTTP/1.1 ${status} No\r\nconnection: close\r\ncontent-length: 0\r\n${more}\r\n`)
    const bearer = request.headers.authorization?.replace(/^Bearer /, '') ?? ''
    const line = /^\/v1\/tasks\/([^/]+)\/attempts\/(\d+)\/connect$/.exec(request.url ?? '')
    if (this.refuse) {
      const { status, retryAfterS } = this.refuse
      this.connections++
      answer(status, retryAfterS === undefined ? '' : `retry-after: ${retryAfterS}\r\n`)
      return this.#change()
    }
    if (!line) {
      if (bearer !== clusterKey) return void answer(401)
      return this.#webSockets.handleUpgrade(request, socket, head, (accepted) => this.#acceptHub(accepted))
    }
    const task = this.tasks.get(line[1]!)
    const epoch = task?.tokens.get(bearer)
    if (!task || epoch === undefined || task.assignment.attempt !== Number(line[2])) return void answer(401)
    this.#webSockets.handleUpgrade(request, socket, head, (accepted) => this.#acceptLine(task, epoch, accepted))
  }

  #acceptHub(socket: WebSocket): void {
    this.#hub?.close(closeCodes.superseded, 'superseded')
    this.#hub = socket
    this.connections++
    const epoch = ++this.epoch
    socket.on('close', () => {
      if (this.#hub === socket) this.#hub = undefined
      this.#change()
    })
    socket.on('message', (data) => {
      const text = String(data)
      if (text === pingText) return socket.send(pongText)
      const decoded = decodeFrame(hubUpSchema, text)
      if (!decoded.ok) throw new Error(`the agent sent a hub frame that is ${decoded.reason}`)
      this.hubFrames.push(decoded.frame)
      this.#hubFrame(decoded.frame, epoch, socket)
      this.#change()
    })
  }

  #hubFrame(frame: HubUp, epoch: number, socket: WebSocket): void {
    const find = (ref: AttemptRef) => {
      const task = this.tasks.get(ref.task_id)
      return task?.assignment.attempt === ref.attempt ? task : undefined
    }
    switch (frame.type) {
      case 'hello': {
        const here = new Set(frame.attempts.map((found) => `${found.task_id}.${found.attempt}`))
        const live = [...this.tasks.values()].filter((task) => task.status === 'assigned' || task.status === 'running')
        const named = (task: FakeTask) => here.has(`${task.assignment.task_id}.${task.assignment.attempt}`)
        // A `finished` that was sent while the socket was away is lost. A hello without the ended attempt means the same.
        for (const task of this.tasks.values()) if (task.outcome !== undefined && !named(task)) task.finished = true
        const adopt = live.filter(named).map((task) => this.tokened(task))
        const stop = frame.attempts
          .filter((found) => !live.includes(find(found) as FakeTask))
          .map(({ task_id, attempt }) => ({ task_id, attempt }))
        socket.send(encodeFrame({ type: 'welcome', epoch, server_time: Date.now(), adopt, stop }))
        const missing = live.filter((task) => !named(task) && task.status === 'assigned').map((task) => this.tokened(task))
        if (missing.length > 0) socket.send(encodeFrame({ type: 'assign', tasks: missing }))
        return
      }
      case 'accepted':
        for (const ref of frame.attempts) {
          const task = find(ref)
          if (task?.status === 'assigned') task.status = 'running'
        }
        return
      case 'rejected':
        for (const ref of frame.attempts) {
          const task = find(ref)
          if (task) Object.assign(task, { status: 'rejected', rejected: { reason: ref.reason, detail: ref.detail } })
        }
        return
      case 'finished':
        for (const ref of frame.attempts) {
          const task = find(ref)
          if (task) task.finished = true
        }
    }
  }

  #down(task: FakeTask, frame: TaskDown): void {
    task.line?.send(encodeFrame(frame))
  }

  #acceptLine(task: FakeTask, epoch: number, socket: WebSocket): void {
    task.lines++
    if (epoch < task.epoch) return socket.close(closeCodes.stale, 'stale')
    if (task.status === 'ended' && !task.outcome) return socket.close(closeCodes.ended, 'ended')
    task.epoch = epoch
    task.line?.close(closeCodes.superseded, 'superseded')
    task.line = socket
    task.unackedBytes = 0
    socket.on('close', () => {
      if (task.line === socket) task.line = undefined
      this.#change()
    })
    let chain = Promise.resolve()
    socket.on('message', (data) => {
      const text = String(data)
      if (text === pingText) return socket.send(pongText)
      const decoded = decodeFrame(taskUpSchema, text)
      if (!decoded.ok) throw new Error(`the agent sent a line frame that is ${decoded.reason}`)
      task.unackedBytes += text.length
      task.maxUnackedBytes = Math.max(task.maxUnackedBytes, task.unackedBytes)
      this.#change()
      chain = chain.then(async () => {
        await this.gate
        if (task.line !== socket) return
        task.unackedBytes -= text.length
        this.#lineFrame(task, decoded.frame, socket)
        this.#change()
      })
    })
    const pending = task.cancel ? [task.cancel] : []
    const result = task.outcome !== undefined
    this.#down(task, { type: 'resume', received: task.events.length, seq: task.events.length, cursor: task.cursor, pending, result })
    this.#change()
  }

  #lineFrame(task: FakeTask, frame: TaskUp, socket: WebSocket): void {
    const fault = this.fault(task, frame)
    if (fault === 'lose') return socket.terminate()
    if (frame.type === 'deltas') return void task.deltas.push(...frame.deltas)
    if (frame.after > task.events.length) return socket.close(closeCodes.gap, 'gap')
    if (frame.type === 'events' && frame.after === task.events.length) {
      task.events.push(...frame.events)
      task.cursor = frame.cursor
    }
    if (frame.type === 'result') {
      task.outcome ??= frame.outcome
      task.status = 'ended'
    }
    if (fault === 'lose_ack') return socket.terminate()
    const received = task.events.length
    this.#down(task, { type: 'ack', received, seq: received, result: task.outcome !== undefined })
  }
}
