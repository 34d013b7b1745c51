// The cluster agent as one program: the real link and runner machines, effects as cluster-agent/src/link/hub-link.ts, runner/runner.ts and
// compose.ts do them. It can be killed, stopped for a while, or asked to leave.

import type { RejectReason } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import type { HubDown } from '@rdev/shared/wire/hub-frames'
import type { AttemptRef } from '@rdev/shared/wire/parts'
import {
  heartbeatEveryMs,
  newLink,
  stepLink,
  type LinkEffect,
  type LinkInput,
  type LinkState,
} from '../../cluster-agent/src/link/link-machine.ts'
import { ReconnectGroup } from '../../cluster-agent/src/link/reconnect-group.ts'
import { stopGraceS } from '@rdev/shared/domain/limits'
import {
  attemptsOf,
  hasUnlisted,
  newRunner,
  podsInUse,
  inventoryFor,
  stepRunner,
  type PodList,
  type RunnerEffect,
  type RunnerInput,
  type RunnerState,
} from '../../cluster-agent/src/runner/runner-machine.ts'
import type { Cluster } from '../pods/cluster.ts'
import { epochMs, Life, type Kernel, type Timer } from '../world/kernel.ts'
import type { Network } from '../world/network.ts'
import { SimAttempt } from './attempt.ts'
import { Directories } from './directories.ts'
import { AgentSocket } from './sim-connection.ts'

/** As in runner.ts and compose.ts. */
const listTimeoutMs = 10_000
const listUnreadyTimeoutMs = 1_000
const listAgainMs = 5_000
const touchEveryMs = 60_000
const flushMs = 5_000

export class AgentProcess {
  readonly kernel: Kernel
  readonly network: Network
  readonly cluster: Cluster
  readonly name: string
  readonly life: Life
  readonly directories: Directories
  readonly group = new ReconnectGroup()
  /** Its wall clock against the true one. */
  skewMs = 0
  readonly runs = new Map<string, SimAttempt>()
  readonly #socket: AgentSocket
  #link: LinkState = newLink
  #runner: RunnerState = newRunner
  #begun = false
  #helloTimer: Timer | undefined
  #heartbeat: Timer | undefined
  #listAgain: Timer | undefined
  #toucher: Timer | undefined

  constructor(kernel: Kernel, network: Network, cluster: Cluster, name: string) {
    this.kernel = kernel
    this.network = network
    this.cluster = cluster
    this.name = name
    this.life = new Life(name, kernel.world)
    this.directories = new Directories(cluster, this.life)
    this.#socket = new AgentSocket(kernel, this.life, network, {
      target: () => 'hub',
      up: () => {
        this.#stepLink({ type: 'opened' })
        this.#beat()
      },
      down: () => {
        if (this.#heartbeat !== undefined) this.#heartbeat.cancelled = true
        if (this.#helloTimer !== undefined) this.#helloTimer.cancelled = true
        this.#stepLink({ type: 'lost' })
      },
      frame: (frame) => this.#stepLink({ type: 'frame', frame: frame as HubDown }),
      group: this.group,
      spreadMs: 0,
    })
  }

  say(what: () => string): void {
    this.kernel.say(this.name, what)
  }
  wall(): number {
    return epochMs + this.kernel.now + this.skewMs
  }

  start(): void {
    this.say(() => 'starts')
    this.cluster.watch(this.life, (pods) => {
      this.#stepRunner({ type: 'pods', pods })
      this.#stepLink({ type: 'pods', pods: inventoryFor(this.#runner), unlisted: hasUnlisted(this.#runner) })
      this.#begin()
    })
  }

  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    this.#socket.dial()
  }

  /** SIGKILL. What it asked of pods is on its way. */
  kill(): void {
    this.say(() => 'is killed')
    this.life.die()
    for (const connection of this.network.connections) {
      if (connection.client.life !== this.life) continue
      // Its machine may have died with it: then nobody closes anything.
      this.network.cut(connection, this.kernel.random.maybe(0.85) ? 'server' : 'none')
      connection.clientOpen = false
    }
  }

  /** SIGTERM: takes nothing more, lets the log have what was read, and goes. */
  leave(done: () => void): void {
    this.say(() => 'leaves')
    this.#stepLink({ type: 'drain' })
    this.#cease()
    let left = 1
    const one = () => {
      if (--left > 0) return
      this.#socket.stop()
      this.life.die()
      done()
    }
    for (const run of this.runs.values()) {
      left++
      run.leave(flushMs, one)
    }
    one()
  }

  #cease(): void {
    this.#stepRunner({ type: 'drain' })
    if (this.#listAgain !== undefined) this.#listAgain.cancelled = true
    if (this.#toucher !== undefined) this.#toucher.cancelled = true
  }

  // What attempts tell the hub.

  accepted(ref: AttemptRef, startedAt: number): void {
    this.#stepLink({ type: 'accepted', ref, startedAt })
  }
  rejected(ref: AttemptRef, reason: RejectReason, detail: string | undefined): void {
    this.#stepRunner({ type: 'refused', ref, reason, detail })
  }
  finished(ref: AttemptRef): void {
    this.#stepLink({ type: 'finished', ref })
  }
  hello(): void {
    this.#stepLink({ type: 'hello' })
  }

  #beat(): void {
    this.#heartbeat = this.kernel.after(heartbeatEveryMs, this.life, () => {
      const attempts = [...this.runs.values()].filter((run) => run.live).map((run) => run.ref)
      if (attempts.length > 0) this.#stepLink({ type: 'heartbeat', attempts, wallMs: this.wall() })
      this.#beat()
    })
  }

  #stepLink(input: LinkInput): void {
    const step = stepLink(this.#link, input, this.kernel.now)
    this.#link = step.state
    for (const effect of step.effects) this.#performLink(effect)
  }

  #performLink(effect: LinkEffect): void {
    switch (effect.type) {
      case 'send':
        return this.#socket.send(effect.frame)
      case 'gather':
        return this.#gather(effect.gathering)
      case 'hello_timer':
        if (this.#helloTimer !== undefined) this.#helloTimer.cancelled = true
        this.#helloTimer = this.kernel.after(effect.inMs, this.life, () => this.#stepLink({ type: 'hello_due' }))
        return
      case 'confirmed':
        return this.#socket.confirmed()
      case 'welcome':
        this.kernel.count('welcome')
        for (const assignment of effect.adopt) this.#stepRunner({ type: 'adopt', assignment })
        for (const ref of effect.stop) this.#stepRunner({ type: 'stop', ref })
        return
      case 'assign':
        for (const assignment of effect.tasks) this.#stepRunner({ type: 'assign', assignment, invalid: undefined })
    }
  }

  #stepRunner(input: RunnerInput): void {
    const step = stepRunner(this.#runner, input)
    this.#runner = step.state
    for (const effect of step.effects) this.#performRunner(effect)
  }

  #performRunner(effect: RunnerEffect): void {
    switch (effect.type) {
      case 'begin': {
        const { assignment, pod, home, adopted } = effect
        this.kernel.count(adopted ? 'adopted' : 'begun')
        const run = new SimAttempt(this, assignment, pod, { home, adopted }, () => {
          this.runs.delete(run.name)
          this.#stepRunner({ type: 'forgotten', name: run.name })
        })
        this.runs.set(run.name, run)
        return run.begin()
      }
      case 'again':
        return this.runs.get(effect.name)?.again(effect.token)
      case 'discard':
        return this.runs.get(effect.name)?.discard()
      case 'pod_gone':
        return this.runs.get(effect.name)?.podGone()
      case 'missing':
        return this.runs.get(effect.name)?.missing()
      case 'reject':
        this.kernel.count(`rejected: ${effect.reason}`)
        return this.#stepLink({ type: 'rejected', ref: effect.ref, reason: effect.reason, detail: effect.detail })
      case 'ask_provider': {
        const { assignment, pod } = effect
        this.kernel.after(this.kernel.random.int(0, 3), this.life, () =>
          this.#stepRunner({ type: 'provider_asked', assignment, pod, has: true }),
        )
        return
      }
      case 'refuse_in_pod': {
        const { assignment, pod } = effect
        const name = `${assignment.task_id}.${assignment.attempt}`
        const told = (state: 'refused' | 'there') => this.#stepRunner({ type: 'refused_in_pod', assignment, pod, there: state === 'there' })
        return this.directories.refuse(pod.name, name, this.life, told, () => {})
      }
      case 'clear':
        return this.#clear(effect.ref, effect.pod)
      case 'finished':
        return this.finished(effect.ref)
      case 'gather_again':
        this.#listAgain = this.kernel.after(listAgainMs, this.life, () => this.hello())
        return
      case 'touch':
        return this.#touch()
    }
  }

  #touch(): void {
    this.#toucher ??= this.kernel.after(touchEveryMs, this.life, () => {
      this.#toucher = undefined
      const names = podsInUse(this.#runner)
      if (names.length > 0) this.#touch()
      for (const name of names) if (this.#runner.pods.some((pod) => pod.name === name)) this.directories.touch(name)
    })
  }

  #clear(ref: AttemptRef, pod: string): void {
    this.kernel.count('unwanted attempt cleared')
    const name = `${ref.task_id}.${ref.attempt}`
    this.say(() => `clears ${name.slice(-6)}, which nobody wants`)
    this.directories.stop(
      pod,
      name,
      stopGraceS,
      'stopped',
      this.life,
      () =>
        this.directories.remove(
          pod,
          name,
          this.life,
          () => this.#stepRunner({ type: 'cleared', ref }),
          () => {},
        ),
      () => {},
    )
  }

  #gather(gathering: number): void {
    if (this.#listAgain !== undefined) this.#listAgain.cancelled = true
    const { pods } = this.#runner
    const refused = [...this.runs.values()].filter((run) => run.refused).map((run) => run.name)
    const lists: PodList[] = []
    const told = (pod: Pod, found: PodList['found']) => {
      lists.push({ pod, found })
      if (lists.length === pods.length) this.#gathered(gathering, lists, refused)
    }
    if (pods.length === 0) return void this.kernel.after(0, this.life, () => this.#gathered(gathering, [], refused))
    for (const pod of pods) this.directories.list(pod.name, pod.ready ? listTimeoutMs : listUnreadyTimeoutMs, (found) => told(pod, found))
  }

  #gathered(gathering: number, lists: readonly PodList[], refused: readonly string[]): void {
    this.#stepRunner({ type: 'gathered', lists, refused })
    this.#stepLink({
      type: 'gathered',
      gathering,
      pods: inventoryFor(this.#runner),
      attempts: attemptsOf(this.#runner, lists),
      about: { version: 'simulated', instance: `${this.name}-instance`, wallMs: this.wall() },
    })
  }
}
