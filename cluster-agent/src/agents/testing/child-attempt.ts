// An attempt for tests: a child process of this computer in a directory of its own. Its whole output is kept in memory, so that a second code agent
// can adopt it from any cursor. It is simpler than the supervisor: it finds the process tree only by the environment of its processes.

import { execFile, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, mkdir, readFile, readdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Duplex } from 'node:stream'
import type { Cursor, ExitRecord } from '@rdev/shared/domain/attempt'
import { startCursor } from '@rdev/shared/domain/attempt'
import type { AgentProvider, AgentRequest } from '@rdev/shared/domain/code-agent'
import type { EventData } from '@rdev/shared/domain/event'
import { nodeTimers } from '../../node-timers.ts'
import type { Attempt, AttemptDirectories, Chunk, NewEvent, ProcessSpec } from '../../ports.ts'
import { aPod } from './a-pod.ts'

const binaries = resolve(import.meta.dirname, '../../../../node_modules/.bin')

export interface Pod {
  readonly home: string
  readonly workspace: string
  readonly env: Readonly<Record<string, string>>
  remove(): Promise<void>
}

/** A directory with only a workspace, like the HOME of a fresh pod. */
export async function createPod(env: Readonly<Record<string, string>>): Promise<Pod> {
  const home = await mkdtemp(join(tmpdir(), 'rdev-pod-'))
  const workspace = join(home, 'workspace')
  await mkdir(workspace)
  // As the supervisor does: temporary files are removed with the rest.
  const TMPDIR = join(home, 'tmp')
  await mkdir(TMPDIR)
  // Other versions than the pinned ones: dev/test-providers.ts.
  const others = process.env.RDEV_TEST_BINARIES
  const PATH = [...(others === undefined ? [] : [others]), binaries, '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter)
  return {
    home,
    workspace,
    env: { HOME: home, PATH, TMPDIR, ...env },
    remove: () => rm(home, { recursive: true, force: true, maxRetries: 5 }),
  }
}

/** Runs scripts beside the attempts of a pod, as the real one does. */
export const runIn =
  ({ env }: Pod): AttemptDirectories['run'] =>
  (_, script, timeout) =>
    new Promise((resolve, reject) => {
      execFile('sh', ['-c', script], { env, timeout, encoding: 'utf8' }, (error, stdout, stderr) => {
        if (error?.signal) reject(error)
        else resolve({ exit_code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
      })
    })

export const request = (provider: AgentProvider, prompt: string, more: Partial<AgentRequest> = {}): AgentRequest => ({
  provider,
  prompt,
  timeout_s: 250,
  deltas: false,
  ...more,
})

interface Emitted extends NewEvent {
  readonly cursor: Cursor
}

/** The process and its output. It outlives the code agents that follow it. */
export class Child {
  readonly #changed = new EventEmitter().setMaxListeners(0)
  readonly output = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  readonly notes = new Map<string, string>()
  readonly mark = crypto.randomUUID()
  readonly pod: Pod
  exit: ExitRecord | undefined
  starts = 0
  #reason: ExitRecord['reason'] = 'exited'
  #alone = false
  #pid: number | undefined

  constructor(pod: Pod) {
    this.pod = pod
  }

  start(spec: ProcessSpec): void {
    if (this.starts++ > 0) return
    const startedAt = Date.now()
    this.#alone = spec.interrupt === 'main'
    const child = spawn('sh', ['-c', spec.script], {
      cwd: this.pod.workspace,
      env: { ...this.pod.env, RDEV_ATTEMPT: this.mark },
      detached: true,
    })
    this.#pid = child.pid
    child.stdin.on('error', () => {})
    child.stdin.end(spec.stdin)
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].on('data', (bytes: Buffer) => {
        this.output[stream] = Buffer.concat([this.output[stream], bytes])
        this.#changed.emit('change')
      })
    const timeout = setTimeout(() => void this.stop('timeout'), spec.timeout_s * 1000)
    child.once('close', (code, signal) => {
      clearTimeout(timeout)
      this.exit = {
        exit_code: code ?? (signal === 'SIGKILL' ? 137 : 143),
        stdout_bytes: this.output.stdout.length,
        stderr_bytes: this.output.stderr.length,
        started_at: startedAt,
        ended_at: Date.now(),
        reason: this.#reason,
      }
      this.#changed.emit('change')
    })
  }

  /** Processes of this attempt, also those that left its session. */
  async tree(): Promise<readonly number[]> {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const marked = pids.map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')
      return environment.includes(`RDEV_ATTEMPT=${this.mark}`) ? Number(pid) : 0
    })
    return (await Promise.all(marked)).filter((pid) => pid > 0)
  }

  async stop(reason: ExitRecord['reason']): Promise<void> {
    if (!this.exit) this.#reason = reason
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL', 'SIGKILL'] as const) {
      const pids = await this.tree()
      if (pids.length === 0) break
      const alone = signal === 'SIGINT' && this.#alone
      for (const pid of alone ? pids.filter((each) => each === this.#pid) : pids) {
        try {
          process.kill(pid, signal)
        } catch {
          // The process has ended meanwhile.
        }
      }
      for (let i = 0; i < (alone ? 200 : 20) && (await this.tree()).length > 0; i++) await wait(25)
    }
    while (this.starts > 0 && !this.exit) await once(this.#changed, 'change')
  }

  /** Follows both streams from `from` on, in small chunks, so that lines are divided. */
  async *follow(from: Cursor, signal: AbortSignal): AsyncIterable<Chunk> {
    const at = { stdout: from.stdout, stderr: from.stderr }
    for (;;) {
      const ended = this.exit !== undefined
      for (const stream of ['stdout', 'stderr'] as const) {
        while (at[stream] < this.output[stream].length) {
          const bytes = this.output[stream].subarray(at[stream], at[stream] + 10_000)
          const offset = at[stream]
          at[stream] += bytes.length
          yield { stream, offset, bytes }
        }
      }
      if (ended || signal.aborted) return
      await once(this.#changed, 'change', { signal }).catch(() => {})
    }
  }

  async exited(): Promise<ExitRecord> {
    while (!this.exit) await once(this.#changed, 'change')
    return this.exit
  }
}

export class ChildAttempt implements Attempt {
  readonly name = 'task.1'
  readonly child: Child
  readonly cursor: Cursor
  readonly emitted: Emitted[] = []
  readonly deltas: EventData[] = []
  readonly pod: Attempt['pod']
  readonly assignment: Attempt['assignment']
  readonly #abort = new AbortController()
  readonly #changed = new EventEmitter().setMaxListeners(0)
  readonly signal = this.#abort.signal

  constructor(child: Child, asked: AgentRequest, cursor: Cursor = startCursor, bypass = false) {
    this.child = child
    this.cursor = cursor
    this.pod = { ...aPod, providers: [asked.provider], allow_bypass_permissions: bypass }
    this.assignment = {
      task_id: 'task',
      attempt: 1,
      project_id: 'demo',
      pod: 'pod',
      pod_uid: null,
      kind: 'agent',
      provider: asked.provider,
      prompt: asked.prompt,
      command: null,
      model: asked.model ?? null,
      allowed_tools: asked.allowed_tools ?? null,
      permission_mode: asked.permission_mode ?? null,
      working_dir: null,
      workspace: null,
      env: {},
      timeout_s: asked.timeout_s,
      idle_timeout_s: asked.idle_timeout_s ?? null,
      deltas: asked.deltas,
      fail_on_denied: false,
      session_id: null,
      provider_session_id: asked.provider_session_id ?? null,
      token: '',
    }
  }

  process(spec: ProcessSpec): Promise<void> {
    this.child.start(spec)
    return Promise.resolve()
  }
  output = () => this.child.follow(this.cursor, this.#dead.signal)
  exited = () => this.child.exited()
  stop = () => this.child.stop('stopped')
  emit(events: readonly NewEvent[], cursor: Cursor): Promise<void> {
    if (this.#dead.signal.aborted) return new Promise(() => {})
    // Encoded and decoded, as the log returns it.
    const kept: Cursor = JSON.parse(JSON.stringify(cursor))
    for (const [index, event] of events.entries()) {
      const data: EventData = JSON.parse(JSON.stringify(event.data))
      this.emitted.push({
        type: event.type,
        data,
        cursor: index === events.length - 1 ? kept : (this.emitted.at(-1)?.cursor ?? this.cursor),
      })
    }
    this.#changed.emit('change')
    return Promise.resolve()
  }
  /** From now on the log acknowledges nothing. */
  withhold(): void {
    this.#stored = new Promise(() => {})
  }
  #stored = Promise.resolve()
  stored = () => this.#stored
  delta(data: EventData): void {
    this.deltas.push(data)
  }
  readonly #sockets = new Set<Duplex>()
  readonly #dead = new AbortController()
  async connect(port: number): Promise<Duplex> {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: false })
    await once(socket, 'connect')
    this.#sockets.add(socket)
    return socket
  }
  readNote = (note: string) => Promise.resolve(this.child.notes.get(note))
  writeNote(note: string, text: string): Promise<void> {
    this.child.notes.set(note, text)
    return Promise.resolve()
  }
  now = () => Date.now()
  after = nodeTimers.after

  /** Ends it as the runner does: first the signal aborts, then the process tree is killed. */
  async cancel(): Promise<void> {
    this.#abort.abort()
    await this.child.stop('cancelled')
  }
  /** The agent's program dies: nothing more is stored, and its connections are cut. */
  die(): void {
    this.#dead.abort()
    for (const socket of this.#sockets) socket.destroy()
  }
  /** Cuts only the connections, as happens to a port-forward. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
  async until(wanted: (event: NewEvent) => boolean): Promise<void> {
    while (!this.emitted.some(wanted)) await once(this.#changed, 'change')
  }
  get types(): readonly string[] {
    return this.emitted.map((event) => event.type)
  }
  get events(): readonly NewEvent[] {
    return this.emitted.map(({ type, data }) => ({ type, data }))
  }
}
