// What a driver needs of the platform under a durable object: memory that survives, sockets that outlive a sleep, one alarm, timers.
// Two sides: Cloudflare's (durable-object.ts) and the simulator's cells. A driver imports no platform, no clock and no chance; what it
// does without awaiting is one turn.

/** `Memory` is what `load` answers, `Write` what one step stores, `Attachment` what is kept with a socket. */
export interface ObjectPlatform<Memory, Write, Attachment> {
  /** Of the cluster or the task; empty where the platform does not tell it. */
  readonly name: string
  /** An id that nothing else has, in no other life of the object either. */
  newId(): string
  load(): Memory
  /**
   * Atomic. What is sent, closed or asked afterwards leaves the object only when this is on disk, so a crash tells nothing that was not
   * stored. Throws if it could not be written; then nothing of it was.
   */
  commit(write: Write): void

  /** Takes a socket that wants in, with what must be known of it after a sleep. */
  accept(connection: string, attachment: Attachment): void
  /** The sockets that were accepted and lived on while the object was away, the newest last. */
  connections(): Iterable<readonly [connection: string, attachment: Attachment]>
  /** To a socket that may be gone: its `closed` is on the way then, and what is missing is sent when the far side is back. */
  send(connection: string, text: string): void
  /** Whatever state the socket is in. The driver is told nothing of it afterwards. */
  close(connection: string, code: number, reason: string): void
  /** When the platform last answered a ping of that socket by itself, wall time; 0: never, or there is no such socket. */
  lastPingAt(connection: string): number

  /** Runs `run` once after so long, unless the object dies before. Answers what cancels it. */
  after(delayMs: number, run: () => void): () => void
  /**
   * Calls `alarm` at that wall time, at least once, perhaps late; null: not any more. Replaces what was set. What is sent does not wait for it.
   * Setting it while its call is on the way cancels the call.
   */
  setAlarm(at: number | null): Promise<void>
  /** What is set; null: nothing, or its call is being handled. */
  alarmAt(): Promise<number | null>
}

/** What the platform calls of every driver. Each call is a turn; none of them runs before the one before it has returned or awaits. */
export interface ObjectDriver {
  message(connection: string, message: string | ArrayBuffer): void
  /** The far side closed it, or it broke. */
  closed(connection: string): void
  /** Returns when nothing that the alarm began is awaited any more. Never throws. */
  alarm(): Promise<void>
}
