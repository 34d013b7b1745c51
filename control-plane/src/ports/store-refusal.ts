import type { Failure } from '@rdev/shared/domain/failure'

/** Thrown by stores that understood the question and will refuse it every time. Whatever else they throw may pass. */
export class StoreRefusal extends Error {
  override readonly name = 'StoreRefusal'
  readonly why: Exclude<Failure, 'away'>
  constructor(why: Exclude<Failure, 'away'>, message: string) {
    super(message)
    this.why = why
  }
}

/** Tells a failure that passes from one that does not; nothing else looks at errors of a store for that. */
export const failureOf = (error: unknown): Failure => (error instanceof StoreRefusal ? error.why : 'away')
