// What the agent's rooms need from each other. Pod hosts drive pods; the runner drives one attempt; code agents know one provider.

import type { Duplex, Readable, Writable } from 'node:stream'
import type { AgentCapabilities, AgentProvider, AgentRequest, AgentResult } from '@rdev/shared/domain/code-agent'
import type { Assignment, Cursor, ExitRecord, PodAttempts, RejectReason } from '@rdev/shared/domain/attempt'
import type { EventData, StoredEventType } from '@rdev/shared/domain/event'
import type { Pod } from '@rdev/shared/domain/pod'
import type { Resource } from '@rdev/shared/domain/resource'
import type { TaskOutcome } from '@rdev/shared/domain/task'
import type { AttemptRef } from '@rdev/shared/wire/parts'
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

/** `local`: a pod is a directory and child processes of this machine. `kubernetes`: a pod is a pod. Both pass one contract suite. */
export interface PodHost {
  readonly kind: 'local' | 'kubernetes'
  /** Calls `onPods` with the whole inventory: once soon, then after every change, in order. Heals by itself when the API goes away. */
  watch(onPods: (pods: readonly Pod[]) => void): void
  shell(pod: string): Promise<Shell>
  /** A TCP connection to a loopback port inside the pod. Rejects if nobody listens; every wait has a bound. */
  connect(pod: string, port: number): Promise<Duplex>
  close(): Promise<void>
}

/**
 * How to run a process of an attempt. `script` is sh text that ends in `exec …`; it and `stdin` travel by stdin, never argv.
 * Before a code agent's script the runner puts the assignment's `env` and the change to its working directory.
 */
export interface ProcessSpec {
  readonly script: string
  readonly stdin: string
  readonly timeout_s: number
  /** A folder of the home that the script is going to make if it is not there. The pod may make it on the way, which is faster. */
  readonly folder?: string | undefined
  /** At most one attempt of the pod holds a lock of that name: from its start until its process tree is empty and its record written. */
  readonly lock?: string | undefined
  /** As `list` has told it: in a pod with another home it is not started. Undefined: in any. */
  readonly home?: string | undefined
}

export type StartOutcome =
  | { readonly outcome: 'started' }
  | { readonly outcome: 'exists' }
  | { readonly outcome: 'floor' }
  /** Another attempt holds the lock; nothing of this one is left. */
  | { readonly outcome: 'busy'; readonly holder: string }
  | { readonly outcome: 'failed'; readonly detail: string }

export interface Chunk {
  readonly stream: 'stdout' | 'stderr'
  /** Byte offset of the first byte of `bytes` in the stream's file. */
  readonly offset: number
  readonly bytes: Buffer
}

export type StopReason = 'cancelled' | 'timeout' | 'stopped'

/** Attempt directories and their process trees, by the supervisor, over the shells of a pod host. */
export interface AttemptDirectories {
  /**
   * One file, made with O_EXCL in the attempt's directory, is the guard: of any number of calls at most one answers `started`. After `busy` and
   * `failed` the attempt cannot be started in this pod any more. A pod that cannot be reached is asked again for a while, but not after `signal`
   * aborts: whoever has the pod's name by then, perhaps with its disk, must not start what nobody waits for.
   */
  start(pod: string, name: string, process: ProcessSpec, signal?: AbortSignal): Promise<StartOutcome>
  /**
   * Output from these offsets on, in order per stream, surviving cut streams by itself; ends when the exit record exists and everything up to its
   * sizes was delivered. Not iterating stops the reading (and so the network), not the process. Ends early when `signal` aborts.
   */
  follow(pod: string, name: string, from: { stdout: number; stderr: number }, signal: AbortSignal): AsyncIterable<Chunk>
  /** Resolves when the process tree has ended and its record is written; undefined when `signal` aborts first. */
  ended(pod: string, name: string, signal: AbortSignal): Promise<ExitRecord | undefined>
  /** INT, TERM, KILL with pauses inside `graceS`; resolves when no process of the attempt is left. Of an ended attempt: at once. */
  stop(pod: string, name: string, graceS: number, reason: StopReason): Promise<void>
  /**
   * The attempts in the pod, and its home: a name that lives as long as the directories and floors do. A pod that took another's name has its own,
   * unless it was handed the disk too. `-`: there was no room to write one.
   */
  list(pod: string): Promise<PodAttempts>
  /** Small files beside the output, for what a code agent must know after a restart of this program. Undefined if not there. */
  readNote(pod: string, name: string, note: string): Promise<string | undefined>
  writeNote(pod: string, name: string, note: string, text: string): Promise<void>
  /** Tells the pod that somebody still cares: its supervisors' orphan deadline starts anew. */
  touch(pod: string): Promise<void>
  /** After `refused` the attempt cannot be started in this pod any more; `there`: it was. */
  refuse(pod: string, name: string): Promise<'refused' | 'there'>
  /** Removes the directory of an ended attempt after the log holds its result, and records the floor above it. */
  remove(pod: string, name: string): Promise<void>
  /** A one-off script; for `available` and the like. Output is bounded to 64 KiB. */
  run(pod: string, script: string, timeoutMs: number): Promise<{ exit_code: number; stdout: string; stderr: string }>
}

export interface NewEvent {
  readonly type: StoredEventType
  readonly data: EventData
}

/** One attempt as its code agent sees it. Fresh or adopted is the same, except for where `cursor` stands. */
export interface Attempt {
  readonly name: string
  readonly assignment: Assignment
  readonly pod: Pod
  /** Where the log stands: reading goes on from here. */
  readonly cursor: Cursor
  /** Starts the process, or finds it when it was started before (by this agent or one before it). Rejects with RejectedStart if it must not run. */
  process(spec: ProcessSpec): Promise<void>
  /** Output from `cursor` on; see AttemptDirectories.follow. */
  output(): AsyncIterable<Chunk>
  exited(): Promise<ExitRecord>
  /** Ends the process tree because the code agent is done with it (a server, or a CLI that does not exit after its result). */
  stop(): Promise<void>
  /** Hands events to the log together with the cursor after them, atomically. Resolves when there is room for more: await it. */
  emit(events: readonly NewEvent[], cursor: Cursor): Promise<void>
  /** Resolves when the log has everything emitted. What was read from a process cannot be read again when that is gone: stop it only then. */
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
  /** Calls `run` once after `ms`. Answers how to stop that. */
  after(ms: number, run: () => void): () => void
}

export interface CodeAgent {
  readonly provider: AgentProvider
  capabilities(): AgentCapabilities
  /** Whether the provider's binary is in the pod. */
  available(pod: string): Promise<boolean>
  /** Runs to the end, and answers how it ended; throws only for bugs. */
  execute(request: AgentRequest, attempt: Attempt): Promise<AgentResult>
  /** Asks the provider to stop politely, before the tree is killed; resolves soon, whatever happened. */
  cancel(attempt: Attempt): Promise<void>
}

/** The code agents of this program. */
export interface AgentRegistry {
  readonly default: CodeAgent
  readonly all: readonly CodeAgent[]
  /** Null: the default. Undefined if nobody registered it. */
  get(provider: AgentProvider | null): CodeAgent | undefined
}

/** Kinds without a provider: shell and git. */
export interface CommandRunner {
  execute(attempt: Attempt): Promise<AgentResult>
}

/** Where a task's log stands for an attempt: how many of its events it holds, and where reading goes on after them. */
export interface LogPosition {
  readonly received: number
  readonly cursor: Cursor
}

/** An event of an attempt in its one encoding; `bytes` is the UTF-8 length of `json`. */
export interface EncodedEvent {
  readonly json: string
  readonly bytes: number
}

/** The line of one attempt to its task's log. It reconnects by itself for ever; closing it loses nothing that the pod's files hold. */
export interface TaskLine {
  /** Events and the cursor after them, kept together. Resolves when the window has taken them; order is that of the calls. */
  emit(events: readonly EncodedEvent[], cursor: Cursor): Promise<void>
  /** Lost if nobody listens. */
  delta(data: EventData): void
  /** After the last `emit`. Sent on every connection until the log has it. */
  result(outcome: TaskOutcome): void
  /** A fresh token; a line that was turned away dials again with it. */
  token(token: string): void
  /** Resolves when everything emitted is acknowledged, or at `close`. It waits as long as that takes. */
  flushed(): Promise<void>
  close(): void
}

export interface TaskLineHandlers {
  /**
   * Read from here on. Called at the first resume (not if the line was opened at the position the log then tells), and again whenever the log
   * stands where this line cannot go on from: whatever was emitted and not acknowledged is forgotten then, as is the result.
   */
  restart(from: LogPosition): void
  /** Repeated on every reconnect while it is wanted. */
  command(command: TaskCommand): void
  /** The log holds the result (`acked`), or is complete without it (`ended`). The line is closed. */
  finished(how: 'acked' | 'ended'): void
  /** The token was refused: only a fresh one helps. The line waits for it. */
  refused(): void
}

export type OpenLine = (
  ref: { readonly task_id: string; readonly attempt: number; readonly token: string },
  /** Undefined: the log tells. */
  at: LogPosition | undefined,
  handlers: TaskLineHandlers,
) => TaskLine

/** What the runner tells the hub. Lost while the hub is away: `hello` says it all again. */
export interface HubReports {
  accepted(ref: AttemptRef, startedAt: number): void
  rejected(ref: AttemptRef, reason: RejectReason, detail?: string): void
  finished(ref: AttemptRef): void
  /** Asks to be told anew what should run here. */
  hello(): void
}

/**
 * Time and chance. Node's side is node-timers.ts; the simulator's side is virtual time, where what a killed program had planned never happens and
 * what a stopped one had planned waits until it goes on.
 */
export interface Timers {
  /** Calls `run` once, `ms` from now or a little later. Answers how to stop that; stopping it twice, or too late, does nothing. */
  after(ms: number, run: () => void): () => void
  /** Monotonic milliseconds, for durations: clock jumps change nothing. */
  now(): number
  /** Wall clock in milliseconds since 1970, for what others read. */
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

/** Never called before `Dial` has returned. After `closed` nothing more comes. */
export interface ConnectionEvents {
  opened(): void
  /** A text frame, the answer to a ping among them; a binary frame is an empty text. */
  text(text: string): void
  /** Once, also when the connection never opened. `retryAfterMs`: what a refused upgrade said in Retry-After (RFC 9110, 10.2.3). */
  closed(code: number, retryAfterMs: number | null): void
}

/** One socket. Sending on one that is not open does nothing. */
export interface Connection {
  /** Bytes that were sent and not handed to the network yet. */
  readonly bufferedBytes: number
  send(text: string): void
  /** With the closing handshake of RFC 6455, 7.1.2; at once if it never opened. */
  close(code: number, reason: string): void
  /** Without a closing handshake: the peer is not there to answer it. */
  terminate(): void
}

/** Opens a connection, and gives up by itself after ten seconds without an answer. Two sides: `ws` (link/web-socket.ts) and the simulator's network. */
export type Dial = (target: DialTarget, events: ConnectionEvents) => Connection

export interface Log {
  (level: 'info' | 'warn' | 'error', phrase: string, fields?: Readonly<Record<string, unknown>>): void
}

/**
 * One kind of what a cluster should have beside attempts. `version` is that of the whole set: a change for an older version than one that was
 * made already is refused (it rejects), so that an agent that was stopped for a while undoes nothing. Every call is safe to repeat; it
 * rejects if it could not be done, with words for an operator.
 */
export interface ResourceKind {
  readonly kind: string
  /** The names of those that are there, whoever made them. */
  list(): Promise<readonly string[]>
  apply(resource: Resource, version: number): Promise<void>
  /** Also of one that is not there. */
  remove(name: string, version: number): Promise<void>
}
