// The database as the control plane sees it: the memory stores, which run the domain's transitions, behind a network that can fail. A statement
// runs at one moment between question and answer. The answer may be lost after it, and a statement still runs if its caller has given up
// or died.

import type { TaskOutcome } from '@rdev/shared/domain/task'
import { StoreRefusal } from '../../control-plane/src/ports/store-refusal.ts'
import type { Stores } from '../../control-plane/src/stores/stores.ts'
import type { Kernel, Life } from '../world/kernel.ts'

export interface DatabaseFaults {
  /** Every statement fails before it runs. */
  away: boolean
  failBefore: number
  failAfter: number
  slow: number
  /** The probability that a statement runs a second time, up to a minute later, because a proxy repeated the request. */
  repeated: number
  /** The probability that an inventory or a result has something that no column can hold. The same values are refused for ever. */
  refused: number
  /** The probability that a claim runs late. `onHeldClaim` is called as it is asked. */
  claimHeld: number
}

/** Fetch deadlines of the stores are 8 s; the server ends a statement after 5 s. */
const deadlineMs = 8_000

export class DatabaseError extends Error {}

type Method = (...args: never[]) => Promise<unknown>

export class Database {
  readonly faults: DatabaseFaults = { away: false, failBefore: 0, failAfter: 0, slow: 0, repeated: 0, refused: 0, claimHeld: 0 }
  readonly stores: Stores
  readonly #kernel: Kernel
  /** Called after each statement with its name; the judge looks at the rows then. */
  onStatement: (method: string, args: readonly unknown[], result: unknown) => void = () => {}
  onHeldClaim: () => void = () => {}
  statements = 0
  /** When a statement last failed or was slow, in virtual time. */
  troubledAt = -Infinity
  /** By method and values: whether they are refused. It outlives the fault. */
  readonly #refused = new Map<string, boolean>()

  constructor(kernel: Kernel, stores: Stores) {
    this.#kernel = kernel
    this.stores = stores
  }

  /** A store for a caller of that life. After the caller died, answers are dropped. */
  port<Store extends object>(store: Store, life: Life): Store {
    const entries = Object.entries(store).map(([name, method]) => [
      name,
      typeof method === 'function' ? (...args: never[]) => this.#ask(name, () => (method as Method)(...args), args, life) : method,
    ])
    return Object.fromEntries(entries) as Store
  }

  /** Inventories (`report`), and results with words: what says only how an attempt ended can always be stored. */
  #refuses(name: string, args: readonly unknown[]): boolean {
    const [, told] = args
    if (name !== 'report' && (name !== 'finish' || (told as TaskOutcome).result === null)) return false
    const key = `${name} ${JSON.stringify([args[0], told])}`
    let refused = this.#refused.get(key)
    if (refused === undefined) this.#refused.set(key, (refused = this.#kernel.random.maybe(this.faults.refused)))
    return refused
  }

  #ask(name: string, run: () => Promise<unknown>, args: readonly unknown[], life: Life): Promise<unknown> {
    const kernel = this.#kernel
    const { random } = kernel
    kernel.touched()
    return new Promise((resolve, reject) => {
      const answer = (delayMs: number, tell: () => void) => {
        kernel.after(delayMs, life, () => {
          kernel.touched()
          tell()
        })
      }
      const fail = (why: string) => () => {
        this.troubledAt = kernel.now
        kernel.say('database', () => `${name}: ${why}`)
        reject(new DatabaseError(`${name}: ${why}`))
      }
      this.statements++
      if (this.faults.away) return answer(random.maybe(0.3) ? deadlineMs : random.skewed(1, 2_000), fail('away'))
      if (random.maybe(this.faults.failBefore)) {
        kernel.count('statement failed before')
        return answer(random.skewed(1, deadlineMs), fail('failed before it ran'))
      }
      const slow = random.maybe(this.faults.slow)
      if (slow) this.troubledAt = kernel.now + deadlineMs
      const held = name === 'claim' && random.maybe(this.faults.claimHeld)
      if (held) {
        kernel.count('claim held')
        this.onHeldClaim()
      }
      const runsIn = held ? random.int(500, 30_000) : slow ? Math.round(5 + 60_000 * random.chance() ** 3) : 1 + random.int(0, 3)
      if (random.maybe(this.faults.repeated)) {
        kernel.count('statement ran twice')
        kernel.after(runsIn + (random.maybe(0.5) ? random.int(1, 6_000) : random.skewed(1, 60_000)), kernel.world, () => {
          kernel.touched()
          kernel.say('database', () => `${name} runs once more`)
          run().then(
            (result) => this.onStatement(name, args, result),
            () => {},
          )
        })
      }
      let late = false
      if (runsIn >= deadlineMs) {
        late = true
        kernel.count('statement ran after its deadline')
        answer(deadlineMs, fail('gave up waiting'))
      }
      kernel.after(runsIn, kernel.world, () => {
        kernel.touched()
        if (this.#refuses(name, args)) {
          kernel.count(`refused: ${name}`)
          kernel.say('database', () => `${name}: refused`)
          if (!late) answer(1, () => reject(new StoreRefusal('data', `${name} was refused`)))
          return
        }
        run().then(
          (result) => {
            this.onStatement(name, args, result)
            if (late) return
            const back = slow ? random.skewed(1, 3_000) : 1 + random.int(0, 3)
            if (random.maybe(this.faults.failAfter)) {
              kernel.count(`answer lost: ${name}`)
              return answer(back, fail('answer lost after the commit'))
            }
            answer(back, () => resolve(result))
          },
          (error: unknown) => answer(1, () => reject(error as Error)),
        )
      })
    })
  }
}
