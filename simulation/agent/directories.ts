// What the agent asks of pods, as cluster-agent/src/pods/attempt-directories.ts asks it: what was cut is asked again, with growing pauses, for
// up to a minute; a start tells its own repeats by its owner.

import { fullJitter } from '@rdev/shared/domain/backoff'
import { parseAttemptName } from '@rdev/shared/domain/ids'
import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { PodAttempts } from '../../cluster-agent/src/ports.ts'
import type { Cluster, Session } from '../pods/cluster.ts'
import type { AttemptDirectory, Reason } from '../pods/attempt-directory.ts'
import type { PodList, SimPod, StartAnswer } from '../pods/pod.ts'
import { Life } from '../world/kernel.ts'

const reachMs = 60_000
const askMs = 15_000

export type Failure = 'unreachable' | 'gone' | 'refused'

export class Directories {
  readonly #cluster: Cluster
  readonly #life: Life

  constructor(cluster: Cluster, life: Life) {
    this.#cluster = cluster
    this.#life = life
  }

  /** Again and again until it is answered or `forMs` have gone. */
  #persist<Answer>(
    life: Life,
    pod: string,
    forMs: number,
    boundMs: number,
    work: (pod: SimPod, reply: (answer: Answer) => void, session: Session) => void,
    answered: (answer: Answer) => void,
    failed: (failure: Failure) => void,
  ): void {
    const { kernel } = this.#cluster
    const deadline = kernel.now + forMs
    const again = (tries: number) => {
      this.#cluster.exec(life, pod, boundMs, work, answered, () => {
        if (kernel.now > deadline) return failed('unreachable')
        kernel.after(tries === 0 ? 0 : fullJitter(tries - 1, kernel.random.chance(), 200, 5_000), life, () => again(tries + 1))
      })
    }
    again(0)
  }

  start(
    pod: string,
    name: string,
    command: string,
    timeoutMs: number,
    lock: string | null,
    home: string | undefined,
    life: Life,
    done: (outcome: StartAnswer) => void,
    failed: () => void,
  ): void {
    const owner = `o${Math.floor(this.#cluster.kernel.random.chance() * 1e12)}`
    this.#persist<StartAnswer>(
      life,
      pod,
      reachMs,
      askMs,
      (at, reply) => this.#cluster.whenStartsPass(() => at.start({ name, owner, command, timeoutMs, lock, home }, reply)),
      (outcome) => {
        if (outcome !== 'busy' && outcome !== 'failed') return done(outcome)
        this.refuse(pod, name, life, (state) => done(state === 'there' ? 'exists' : outcome), failed)
      },
      failed,
    )
  }

  refuse(pod: string, name: string, life: Life, done: (state: 'refused' | 'there') => void, failed: () => void): void {
    this.#persist<'refused' | 'there'>(life, pod, reachMs, askMs, (at, reply) => at.refuse(name, reply), done, failed)
  }

  /** Waits for ever, until `life` is over. */
  ended(pod: string, name: string, life: Life, done: (record: ExitRecord) => void, gone: () => void): void {
    this.#persist<ExitRecord | 'gone'>(
      life,
      pod,
      Infinity,
      Infinity,
      (at, reply, session) => at.wait(name, session, reply),
      (answer) => (answer === 'gone' ? gone() : done(answer)),
      () => {},
    )
  }

  stop(pod: string, name: string, graceS: number, reason: Reason, life: Life, done: () => void, failed: (failure: Failure) => void): void {
    const graceMs = graceS * 1000
    this.#persist<true>(
      life,
      pod,
      reachMs,
      graceMs + reachMs,
      (at, reply) => at.stop(name, graceMs, reason, () => reply(true)),
      done,
      failed,
    )
  }

  list(pod: string, boundMs: number, done: (found: PodAttempts | undefined) => void): void {
    // What is asked here ends with the answer or with the bound.
    const asking = new Life('list', this.#life)
    const finish = (found: PodAttempts | undefined) => {
      if (asking.dead) return
      asking.die()
      done(found)
    }
    this.#cluster.kernel.after(boundMs, this.#life, () => finish(undefined))
    this.#persist<PodList>(
      asking,
      pod,
      reachMs,
      askMs,
      (at, reply) => at.list(reply),
      ({ home, found }) => {
        const attempts = found.flatMap(({ name, state }) => {
          const ref = parseAttemptName(name)
          return ref ? [{ ...ref, pod, state }] : []
        })
        finish({ home, attempts })
      },
      () => finish(undefined),
    )
  }

  touch(pod: string, life = this.#life, done = () => {}, failed = () => {}): void {
    this.#persist<true>(life, pod, reachMs, askMs, (_, reply) => reply(true), done, failed)
  }

  remove(pod: string, name: string, life: Life, done: () => void, failed: () => void): void {
    this.#persist<boolean>(
      life,
      pod,
      reachMs,
      askMs,
      (at, reply) => at.remove(name, reply),
      (removed) => (removed ? done() : failed()),
      failed,
    )
  }

  /** Asks whether the directory is there, and to be told when it changes. */
  open(pod: string, name: string, life: Life, done: (directory: AttemptDirectory | 'gone', at: SimPod) => void, failed: () => void): void {
    this.#cluster.exec<{ directory: AttemptDirectory | 'gone'; at: SimPod }>(
      life,
      pod,
      askMs,
      (at, reply) => reply({ directory: at.disk.directories.get(name) ?? 'gone', at }),
      ({ directory, at }) => done(directory, at),
      failed,
    )
  }
}
