// What a public client gives to its user, and how its reading ended.

export interface Message {
  readonly type?: string | undefined
  readonly id?: string | undefined
  readonly data: string
}

/** Without a key, the URL has a ticket. */
export interface Wanted {
  readonly url: string
  readonly key: string | undefined
  got(message: Message): void
  /** The client has given up, for a reason of its own. */
  failed(error: Error): void
}

export interface Reading {
  /** The status of the answer after which the client does not come back. */
  readonly ended: Promise<number>
  close(): void
}

export type Client = (wanted: Wanted) => Reading
