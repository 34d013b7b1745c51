// The connections of one agent. They all lead to the same control plane. When one is open again after an outage, the network is back, so
// the others dial at once; otherwise each would wait up to 32 s, a time that was drawn during the outage.

/** Lines, of which there may be many, dial spread over this time; the one hub link dials at once. */
export const spreadMs = 300

export interface Waiter {
  hasten(withinMs: number): void
}

export class ReconnectGroup {
  readonly #down = new Map<Waiter, number>()

  /** It waits to be open again. `withinMs`: over how long its next dial may be spread. */
  down(who: Waiter, withinMs: number): void {
    this.#down.set(who, withinMs)
  }

  /** It is open, or does not want to dial any more. */
  settled(who: Waiter): void {
    this.#down.delete(who)
  }

  /** One is open again after a loss: tells all that wait. */
  recovered(): void {
    for (const [who, withinMs] of this.#down) who.hasten(withinMs)
  }
}
