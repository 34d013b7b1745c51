// The simulator's side of the AttemptDirectories port, over the model pods. It asks as cluster-agent/src/pods/attempt-directories.ts does: a cut
// question is asked again with full jitter for up to a minute, and a start knows its own repetition by its owner.

import type { ExitRecord, PodAttempts, StopReason } from '@rdev/shared/domain/attempt'
import { fullJitter } from '@rdev/shared/domain/backoff'
import { parseAttemptName } from '@rdev/shared/domain/ids'
import type { AttemptDirectories, Chunk, ProcessSpec, StartOutcome } from '../../cluster-agent/src/ports.ts'
import type { Cluster, Session } from '../pods/cluster.ts'
import type { PodList, SimPod, StartAnswer } from '../pods/pod.ts'
import { Life, type Kernel } from '../world/kernel.ts'
import { follow, type Opened } from './follow.ts'

const reachMs = 60_000
const askMs = 15_000

type Work<Answer> = (pod: SimPod, reply: (answer: Answer) => void, session: Session) => void

interface Persistence {
  readonly life?: Life
  readonly forMs?: number
  /** The limit of one try. */
  readonly boundMs?: number
  readonly signal?: AbortSignal | undefined
}

export class AttemptGone extends Error {
  override readonly name = 'AttemptGone'
}

interface End {
  readonly end: Promise<ExitRecord>
  readonly life: Life
  users: number
}

export class SimDirectories implements AttemptDirectories {
  readonly kernel: Kernel
  readonly #cluster: Cluster
  readonly #life: Life
  /** All callers that wait for the end of one attempt share one question. */
  readonly #ends = new Map<string, End>()

  constructor(cluster: Cluster, life: Life) {
    this.kernel = cluster.kernel
    this.#cluster = cluster
    this.#life = life
  }

  async start(pod: string, name: string, spec: ProcessSpec, signal?: AbortSignal): Promise<StartOutcome> {
    const owner = `o${Math.floor(this.kernel.random.chance() * 1e12)}`
    const order = { name, owner, script: spec.script, timeoutMs: spec.timeout_s * 1_000, lock: spec.lock ?? null, home: spec.home }
    const outcome = await this.#persist<StartAnswer>(pod, (at, reply) => this.#cluster.whenStartsPass(() => at.start(order, reply)), {
      signal,
    })
    if (outcome !== 'busy' && outcome !== 'failed') return { outcome }
    // Another try, of this agent or another, may still be on its way.
    if ((await this.refuse(pod, name)) === 'there') return { outcome: 'exists' }
    return outcome === 'busy' ? { outcome, holder: 'another' } : { outcome, detail: 'it failed' }
  }

  follow(pod: string, name: string, from: { stdout: number; stderr: number }, signal: AbortSignal): AsyncIterable<Chunk> {
    const life = new Life('follow', this.#life)
    const following = {
      kernel: this.kernel,
      life,
      signal,
      open: () => this.#ask<Opened>(life, pod, askMs, (at, reply) => reply({ at, directory: at.disk.directories.get(name) })),
      gone: () => new AttemptGone(name),
      awaitEnd: () => this.#awaitEnd(pod, name),
    }
    return follow(following, from)
  }

  async ended(pod: string, name: string, signal: AbortSignal): Promise<ExitRecord | undefined> {
    if (signal.aborted) return undefined
    const { end, release } = this.#awaitEnd(pod, name)
    const aborted = new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined)))
    try {
      return await Promise.race([end, aborted])
    } finally {
      release()
    }
  }

  async stop(pod: string, name: string, graceS: number, reason: StopReason): Promise<void> {
    const graceMs = graceS * 1_000
    await this.#persist<true>(pod, (at, reply) => at.stop(name, graceMs, reason, () => reply(true)), { boundMs: graceMs + reachMs })
  }

  async list(pod: string): Promise<PodAttempts> {
    const { home, found } = await this.#persist<PodList>(pod, (at, reply) => at.list(reply))
    const attempts = found.flatMap(({ name, state }) => {
      const ref = parseAttemptName(name)
      return ref ? [{ ...ref, pod, state }] : []
    })
    return { home, attempts }
  }

  async touch(pod: string): Promise<void> {
    await this.#persist<true>(pod, (_, reply) => reply(true))
  }

  refuse(pod: string, name: string): Promise<'refused' | 'there'> {
    return this.#persist(pod, (at, reply) => at.refuse(name, reply))
  }

  async remove(pod: string, name: string): Promise<void> {
    const removed = await this.#persist<boolean>(pod, (at, reply) => at.remove(name, reply))
    if (!removed) throw new Error('it cannot be removed')
  }

  /** The simulator's code agent keeps no notes. */
  async readNote(): Promise<undefined> {
    return undefined
  }
  async writeNote(): Promise<void> {}

  async run(pod: string, script: string, timeoutMs: number): Promise<{ exit_code: number; stdout: string; stderr: string }> {
    const exit_code = await this.#ask<number>(this.#life, pod, timeoutMs, (at, reply) => reply(at.run(script)))
    return { exit_code, stdout: '', stderr: '' }
  }

  #awaitEnd(pod: string, name: string): { end: Promise<ExitRecord>; release: () => void } {
    const key = `${pod}/${name}`
    let found = this.#ends.get(key)
    if (found === undefined) {
      const life = new Life('end', this.#life)
      const wait: Work<ExitRecord | 'gone'> = (at, reply, session) => at.wait(name, session, reply)
      const answered = this.#persist(pod, wait, { life, forMs: Infinity, boundMs: Infinity })
      const end = answered.then((answer) => {
        if (answer === 'gone') throw new AttemptGone(name)
        return answer
      })
      const made = { end, life, users: 0 }
      const forget = () => void (this.#ends.get(key) === made && this.#ends.delete(key))
      end.then(forget, forget)
      this.#ends.set(key, (found = made))
    }
    const mine = found
    mine.users++
    return {
      end: mine.end,
      release: () => {
        if (--mine.users > 0) return
        mine.life.die()
        if (this.#ends.get(key) === mine) this.#ends.delete(key)
      },
    }
  }

  /** One command. Its answer, or its failure, is an event of that life: a killed agent gets none. */
  #ask<Answer>(life: Life, pod: string, boundMs: number, work: Work<Answer>): Promise<Answer> {
    const { kernel } = this
    return new Promise((resolve, reject) =>
      this.#cluster.exec<Answer>(
        life,
        pod,
        boundMs,
        work,
        (answer) => {
          kernel.touched()
          resolve(answer)
        },
        () => {
          kernel.touched()
          reject(new Error('the pod could not be reached'))
        },
      ),
    )
  }

  /** Asks until there is an answer or `forMs` have passed. */
  async #persist<Answer>(
    pod: string,
    work: Work<Answer>,
    { life = this.#life, forMs = reachMs, boundMs = askMs, signal }: Persistence = {},
  ): Promise<Answer> {
    const { kernel } = this
    const deadline = kernel.now + forMs
    for (let tries = 0; ; tries++) {
      try {
        return await this.#ask(life, pod, boundMs, work)
      } catch (error) {
        if (kernel.now > deadline || signal?.aborted) throw error
        await kernel.pause(tries === 0 ? 0 : fullJitter(tries - 1, kernel.random.chance(), 200, 5_000), life)
        if (signal?.aborted) throw error
      }
    }
  }
}
