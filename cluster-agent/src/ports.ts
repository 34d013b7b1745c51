// What the agent's rooms need from each other. Pod hosts drive pods; the runner drives one attempt; code agents know one provider.

import type { Duplex, Readable, Writable } from 'node:stream'
import type { AgentCapabilities, AgentProvider, AgentRequest, AgentResult } from '@rdev/shared/domain/code-agent'
import type { Assignment, AttemptRef, Cursor, ExitRecord, PodAttempts, RejectReason, StopReason } from '@rdev/shared/domain/attempt'
import type { EventData, StoredEventType } from '@rdev/shared/domain/event'
import type { Pod } from '@rdev/shared/domain/pod'
import type { Resource } from '@rdev/shared/domain/resource'
import type { TaskOutcome } from '@rdev/shared/domain/task'
import type { TaskCommand } from '@rdev/shared/wire/task-frames'

/**
 * A fresh `sh` inside a pod, its three streams attached, run as the pod's user with HOME and the pod's environment set.
 * Streams keep backpressure: not reading stdout or stderr stops the far side. `closed` resolves (never rejects) when the stream is gone,
 * which proves nothing about the processes in the pod. `destroy` cuts at once; the far side's stdin reaches its end.
 */
export interface Shell {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  readonly closed: Promise<void>
  destroy(): void
}

/** `local`: a pod is a directory and child processes of this computer. `kubernetes`: a pod of the cluster. Both pass one contract suite. */
export interface PodHost {
  readonly kind: 'local' | 'kubernetes'
  /** Calls `onPods` with the whole inventory: once soon, then after every change, in order. After an outage of the API it goes on by itself. */
  watch(onPods: (pods: readonly Pod[]) => void): void
  /** Rejects if the pod is not there or its shell does not open in time. */
  shell(pod: string): Promise<Shell>
  /** A TCP connection to a loopback port inside the pod. Rejects if nothing listens there, or after a bounded wait. */
  connect(pod: string, port: number): Promise<Duplex>
  close(): Promise<void>
}

/**
 * How to run the process of an attempt. `script` is sh text that ends in `exec …`; it and `stdin` are sent by stdin, never in argv.
 * Before a code agent's script the runner puts the assignment's `env` and the change to its working directory.
 */
export interface ProcessSpec {
  readonly script: string
  readonly stdin: string
  readonly timeout_s: number
  /** A folder of the home that the script makes if it is missing. The pod may make it before, which is faster. */
  readonly folder?: string | undefined
  /** At most one attempt of the pod holds the lock of that name: from its start until its process tree is empty and its exit record written. */
  readonly lock?: string | undefined
  /** The id of a home, as `list` told it: in a pod with another home the process is not started. Undefined: any home. */
  readonly home?: string | undefined
  /**
   * Whom a stop sends INT: the whole tree, which is usual, or only the main process while it lives. A program that ends its own children
   * tells how they ended; one whose children die at the same moment may not get to its last words. TERM and KILL go to all.
   */
  readonly interrupt?: 'tree' | 'main' | undefined
}

export type StartOutcome =
  | { readonly outcome: 'started' }
  | { readonly outcome: 'exists' }
  | { readonly outcome: 'floor' }
  /** Another attempt holds the lock; nothing of this one is left. */
  | { readonly outcome: 'busy'; readonly holder: string }
  /** `moved`: the pod has another home than the one that the start was for. */
  | { readonly outcome: 'failed'; readonly detail: string; readonly moved?: true }

export interface Chunk {
  readonly stream: 'stdout' | 'stderr'
  /** Byte offset of the first byte of `bytes` in the stream's file. */
  readonly offset: number
  readonly bytes: Buffer
}

/**
 * Attempt directories and their process trees, through the supervisor, over the shells of a pod host. A method rejects if the pod cannot be
 * reached for a minute (`follow` and `ended` go on until they are aborted): that proves nothing, and asking again is safe. `follow`, `ended` and
 * `writeNote` reject with AttemptGone if the pod answers that it has no directory of the attempt; a name that is not valid is a RangeError.
 */
export interface AttemptDirectories {
  /**
   * The guard is one file that is created with O_EXCL (POSIX open) in the attempt's directory: of any number of calls at most one answers
   * `started`. After `busy` and `failed` the attempt cannot be started in this pod any more. A pod that cannot be reached is asked again for a
   * while, but not after `signal` aborts: a later pod of the same name, perhaps with the same disk, must not start what nobody waits for.
   */
  start(pod: string, name: string, process: ProcessSpec, signal?: AbortSignal): Promise<StartOutcome>
  /**
   * Output from these offsets on, in order per stream. A cut stream is opened again at the next byte. It ends when the exit record exists and
   * everything up to its sizes was delivered, or when `signal` aborts. Not iterating stops the reading (and so the network), not the process.
   */
  follow(pod: string, name: string, from: { stdout: number; stderr: number }, signal: AbortSignal): AsyncIterable<Chunk>
  /** Resolves when the process tree has ended and its record is written; undefined when `signal` aborts first. */
  ended(pod: string, name: string, signal: AbortSignal): Promise<ExitRecord | undefined>
  /** INT, TERM, KILL with pauses within `graceS`. Resolves when no process of the attempt is left; at once if it has ended. */
  stop(pod: string, name: string, graceS: number, reason: StopReason): Promise<void>
  /**
   * The attempts in the pod, and the id of its home, which lives as long as the directories and floors do. A later pod of the same name has
   * another id, unless it has the same disk. `-`: there was no room to write one.
   */
  list(pod: string): Promise<PodAttempts>
  /** Small files beside the output, for what a code agent must know after a restart of this program. Undefined if not there. */
  readNote(pod: string, name: string, note: string): Promise<string | undefined>
  writeNote(pod: string, name: string, note: string, text: string): Promise<void>
  /** Starts the orphan TTL of the pod's supervisors anew. */
  touch(pod: string): Promise<void>
  /** `refused`: the attempt cannot be started in this pod any more. `there`: it was started already. */
  refuse(pod: string, name: string): Promise<'refused' | 'there'>
  /** Records the floor above an ended attempt and removes its directory. Only after the log holds its result. */
  remove(pod: string, name: string): Promise<void>
  /** Runs a short script to its end, for `available` and the like. Output is bounded to 64 KiB. Rejects after `timeoutMs`. */
  run(pod: string, script: string, timeoutMs: number): Promise<{ exit_code: number; stdout: string; stderr: string }>
}

export interface NewEvent {
  readonly type: StoredEventType
  readonly data: EventData
}

/** One attempt as its code agent sees it. A fresh and an adopted one differ only in `cursor`. */
export interface Attempt {
  readonly name: string
  readonly assignment: Assignment
  readonly pod: Pod
  /** The log's position: reading goes on from here. */
  readonly cursor: Cursor
  /** Starts the process, or finds it if this agent or an earlier one started it. Rejects with RejectedStart if it must not run. */
  process(spec: ProcessSpec): Promise<void>
  /** Output from `cursor` on; see AttemptDirectories.follow. */
  output(): AsyncIterable<Chunk>
  exited(): Promise<ExitRecord>
  /** Ends the process tree because the code agent needs it no more (a server, or a CLI that does not exit after its result). */
  stop(): Promise<void>
  /** Gives events and the cursor after them to the log, atomically. Await it: it resolves when there is room for more. */
  emit(events: readonly NewEvent[], cursor: Cursor): Promise<void>
  /** Resolves when the log has everything emitted. Wait for it before stopping a process whose output cannot be read again. */
  stored(): Promise<void>
  delta(data: EventData): void
  connect(port: number): Promise<Duplex>
  readNote(note: string): Promise<string | undefined>
  writeNote(note: string, text: string): Promise<void>
  /**
   * Aborted when the attempt is to end (cancel, timeout): stop waiting for the provider. The tree is killed by the runner. Also aborted when
   * this program lets go of an attempt that goes on (drain, or reading again from another cursor): every method is inert then, and what
   * `execute` answers is not used.
   */
  readonly signal: AbortSignal
  /** Wall clock in milliseconds; for durations use differences of it only. */
  now(): number
  /** Calls `run` once after `ms`. Answers a function that cancels it. */
  after(ms: number, run: () => void): () => void
}

export interface CodeAgent {
  readonly provider: AgentProvider
  capabilities(): AgentCapabilities
  /** Whether the provider's binary is in the pod. */
  available(pod: string): Promise<boolean>
  /** Runs to the end, and answers how it ended; throws only for bugs. */
  execute(request: AgentRequest, attempt: Attempt): Promise<AgentResult>
  /** Asks the provider to stop, before the process tree is killed. Resolves soon, also if the provider did not answer. */
  cancel(attempt: Attempt): Promise<void>
}

/** The code agents of this program. */
export interface AgentRegistry {
  readonly default: CodeAgent
  readonly all: readonly CodeAgent[]
  /** Null: the default. Undefined if there is none for that provider. */
  get(provider: AgentProvider | null): CodeAgent | undefined
}

/** Runs a task of a kind without a provider: shell or git. Throws only for bugs. */
export interface CommandRunner {
  execute(attempt: Attempt): Promise<AgentResult>
}

/** The position of a task's log for an attempt: how many of its events it holds, and the cursor after them. */
export interface LogPosition {
  readonly received: number
  readonly cursor: Cursor
}

/** An encoded event of an attempt; `bytes` is the UTF-8 length of `json`. */
export interface EncodedEvent {
  readonly json: string
  readonly bytes: number
}

/** The line of one attempt to its task's log. It reconnects for ever. Closing it loses nothing, because the pod's files still hold the output. */
export interface TaskLine {
  /** Sends events and the cursor after them as one unit, in the order of the calls. Resolves when the window has taken them. */
  emit(events: readonly EncodedEvent[], cursor: Cursor): Promise<void>
  /** A part of a message for readers who listen now. It is not stored, and lost while the line is away. */
  delta(data: EventData): void
  /** To be called after the last `emit`. The result is sent on every connection until the log has it. */
  result(outcome: TaskOutcome): void
  /** A fresh token. A line that was refused dials again with it. */
  token(token: string): void
  /** Resolves when everything emitted is acknowledged, or at `close`. It has no time limit. */
  flushed(): Promise<void>
  close(): void
}

export interface TaskLineHandlers {
  /**
   * Read again from this position. Called at the first resume (unless the line was opened at the log's own position), and whenever the log's
   * position does not lie in the window. What was emitted and not acknowledged is dropped then, and so is the result.
   */
  restart(from: LogPosition): void
  /** Repeated on every reconnect while the command is pending. */
  command(command: TaskCommand): void
  /** The log holds the result (`acked`), or is complete without it (`ended`). The line is closed. */
  finished(how: 'acked' | 'ended'): void
  /** The log refused the token. The line dials again when it gets a fresh one. */
  refused(): void
}

export type OpenLine = (
  ref: { readonly task_id: string; readonly attempt: number; readonly token: string },
  /** Undefined: unknown, the log will tell. */
  at: LogPosition | undefined,
  handlers: TaskLineHandlers,
) => TaskLine

/** What the runner tells the hub. It is lost while the hub is away; the next `hello` tells it all again. */
export interface HubReports {
  accepted(ref: AttemptRef, startedAt: number): void
  rejected(ref: AttemptRef, reason: RejectReason, detail?: string): void
  finished(ref: AttemptRef): void
  /** Sends a hello, so that the hub tells again what should run here. */
  hello(): void
}

/**
 * Time and randomness. Node's side is node-timers.ts. The simulator's side is virtual time: timers of a killed program never fire, and those
 * of a stopped one wait until it goes on.
 */
export interface Timers {
  /** Calls `run` once, `ms` from now or a little later. Answers a function that cancels it; cancelling twice, or too late, does nothing. */
  after(ms: number, run: () => void): () => void
  /** Monotonic milliseconds, for durations, so that clock jumps change nothing. */
  now(): number
  /** Wall clock in milliseconds since 1970, for times that others read. */
  wall(): number
  /** Uniform in [0, 1). */
  random(): number
}

export interface DialTarget {
  /** `ws:` or `wss:`. */
  readonly url: string
  readonly bearer: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Never called before `Dial` has returned, nor after `closed`. */
export interface ConnectionEvents {
  opened(): void
  /** A text frame; the answers to pings too. A binary frame is an empty text. */
  text(text: string): void
  /** Once, also if the connection never opened. `retryAfterMs`: the Retry-After of a refused upgrade (RFC 9110, 10.2.3). */
  closed(code: number, retryAfterMs: number | null): void
}

/** One WebSocket. Sending does nothing while it is not open. */
export interface Connection {
  /** Bytes that were sent and are not with the network yet. */
  readonly bufferedBytes: number
  send(text: string): void
  /** Closes with the closing handshake (RFC 6455, 7.1.2); at once if it never opened. */
  close(code: number, reason: string): void
  /** Closes without a closing handshake, which a peer that is gone would not answer. */
  terminate(): void
}

/** Opens a connection, or gives up after ten seconds without an answer. Never throws. Its sides: `ws` (link/web-socket.ts), the simulator's network. */
export type Dial = (target: DialTarget, events: ConnectionEvents) => Connection

export interface Log {
  (level: 'info' | 'warn' | 'error', phrase: string, fields?: Readonly<Record<string, unknown>>): void
}

/**
 * One kind of resource that a cluster should have beside attempts. `version` is that of the whole desired set. A change for an older version
 * than one that was made already rejects, so that an agent that was stopped for a while undoes nothing. Every call is safe to repeat. It
 * rejects if it could not be done, with a message for an operator.
 */
export interface ResourceKind {
  readonly kind: string
  /** The names of all that exist, also of those that this agent did not make. */
  list(): Promise<readonly string[]>
  apply(resource: Resource, version: number): Promise<void>
  /** Removing one that does not exist succeeds. */
  remove(name: string, version: number): Promise<void>
}
