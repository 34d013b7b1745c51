// What a driver needs of the platform under a durable object: memory that survives, sockets that outlive a sleep, one alarm, timers.
// Two sides: Cloudflare's (durable-object.ts) and the simulator's cells. A driver imports no platform, no clock and no chance; what it
// does without awaiting is one entry.

/** `Memory` is what `load` answers, `Write` what one step stores, `Attachment` what is kept with a socket. */
export interface ObjectPlatform<Memory, Write, Attachment> {
  /** Id of the cluster or task; empty where the platform does not tell it. */
  readonly name: string
  /** A unique id, also across the lives of the object. */
  newId(): string
  load(): Memory
  /**
   * Writes all or nothing. What is sent, closed or asked afterwards leaves the object only when this is on disk, so nobody learns what a crash
   * could undo. Throws if nothing could be written.
   */
  commit(write: Write): void

  /** Accepts a socket. `attachment` is kept with it, and is there again after a sleep. */
  accept(connection: string, attachment: Attachment): void
  /** The accepted sockets that survived the object's sleep, the newest last. */
  connections(): Iterable<readonly [connection: string, attachment: Attachment]>
  /** Sends a text; never throws. A socket that is gone loses it silently: its `closed` is on the way, and the far side resumes when it is back. */
  send(connection: string, text: string): void
  /** Closes a socket in any state; never throws. The driver gets no more calls about it. */
  close(connection: string, code: number, reason: string): void
  /** Wall time when the platform last answered a ping of that socket by itself; 0: never, or there is no such socket. */
  lastPingAt(connection: string): number

  /** Runs `run` once after `delayMs`, unless the object dies before. Answers a function that cancels it. */
  after(delayMs: number, run: () => void): () => void
  /**
   * Calls `alarm` at that wall time, at least once, perhaps late; null: never. Replaces the alarm that was set. Sending does not wait for it.
   * Setting an alarm while its call is on the way cancels the call.
   */
  setAlarm(at: number | null): Promise<void>
  /** The wall time that is set; null: none, or its call is being handled. */
  alarmAt(): Promise<number | null>
}

/** What the platform calls on every driver. One call runs at a time: the next one begins when this one has returned or awaits. */
export interface ObjectDriver {
  message(connection: string, message: string | ArrayBuffer): void
  /** The far side closed the socket, or it broke. */
  closed(connection: string): void
  /** Resolves when everything that the alarm began has been answered. Never rejects. */
  alarm(): Promise<void>
}
