// What the connections of one agent tell each other. They all lead to the same place, so after an outage the first that is back speaks for
// the network, and nobody sits out a window of up to 32 s that was drawn while it was away.

/** Lines come back spread over this time; the hub link, which is one, at once. */
export const spreadMs = 300

export interface Waiter {
  hasten(withinMs: number): void
}

export class ReconnectGroup {
  readonly #down = new Map<Waiter, number>()

  /** `withinMs`: over how long its next dial may be spread. */
  down(who: Waiter, withinMs: number): void {
    this.#down.set(who, withinMs)
  }

  /** It is open, or wants no signal any more. */
  settled(who: Waiter): void {
    this.#down.delete(who)
  }

  recovered(): void {
    for (const [who, withinMs] of this.#down) who.hasten(withinMs)
  }
}
