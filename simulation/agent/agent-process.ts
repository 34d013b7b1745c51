// The cluster agent as one program: the shipped agent (cluster-agent/src/agent.ts) on the simulator's platform. It can be killed, stopped for a
// while, asked to leave, or asked to end everything.

import { createAgent, type Agent } from '../../cluster-agent/src/agent.ts'
import { createRegistry } from '../../cluster-agent/src/agents/registry.ts'
import type { Cluster } from '../pods/cluster.ts'
import { epochMs, Life, type Kernel } from '../world/kernel.ts'
import type { Network } from '../world/network.ts'
import { createCountingAgent } from './counting-agent.ts'
import { SimDirectories } from './directories.ts'
import { simDial } from './sim-dial.ts'
import { simTimers } from './sim-timers.ts'
import type { SimulatedResources } from './simulated-kind.ts'

export class AgentProcess {
  readonly kernel: Kernel
  readonly network: Network
  readonly name: string
  readonly life: Life
  /** Its API key. */
  readonly keyId: string
  /** Its wall clock minus the true one. */
  skewMs = 0
  readonly #agent: Agent

  constructor(
    kernel: Kernel,
    network: Network,
    cluster: Cluster,
    resources: SimulatedResources,
    name: string,
    keyId: string,
    partChars?: number,
  ) {
    this.kernel = kernel
    this.network = network
    this.name = name
    this.keyId = keyId
    this.life = new Life(name, kernel.world)
    const timers = simTimers(kernel, this.life, () => epochMs + kernel.now + this.skewMs)
    const directories = new SimDirectories(cluster, this.life)
    this.#agent = createAgent({
      url: 'http://control-plane',
      clusterId: 'hub',
      key: keyId,
      instance: `${name}-instance`,
      host: {
        watch: (tell) =>
          cluster.watch(this.life, (pods) => {
            kernel.touched()
            tell(pods)
          }),
        connect: () => Promise.reject(new Error('nobody listens')),
      },
      directories,
      agents: createRegistry([createCountingAgent(directories.run.bind(directories), timers)]),
      resourceKinds: [resources.kind(this.life)],
      timers,
      dial: simDial(kernel, this.life, network),
      partChars,
      log: (_level, phrase, { reason, ...fields } = {}) => {
        kernel.count(reason === undefined ? phrase : `${phrase}: ${String(reason)}`)
        this.say(() => `${phrase} ${JSON.stringify({ reason, ...fields })}`)
      },
    })
  }

  say(what: () => string): void {
    this.kernel.say(this.name, what)
  }

  start(): void {
    this.say(() => 'starts')
    this.#enter(() => this.#agent.start())
  }

  /** SIGKILL. Commands that it sent to pods are still on their way. */
  kill(): void {
    this.say(() => 'is killed')
    this.life.die()
    for (const connection of this.network.connections) {
      if (connection.client.life !== this.life) continue
      // Its node may have died with it; then nothing closes its sockets.
      this.network.cut(connection, this.kernel.random.maybe(0.85) ? 'server' : 'none')
      connection.clientOpen = false
    }
  }

  /** SIGTERM: takes no more assignments, sends the log what was read or ends every attempt, and exits. */
  leave(attempts: 'go on' | 'end', done: () => void): void {
    this.say(() => (attempts === 'end' ? 'ends everything, and leaves' : 'leaves'))
    this.#enter(
      () =>
        void this.#agent.stop(attempts).then(() => {
          this.life.die()
          done()
        }),
    )
  }

  hello(): void {
    this.#enter(() => this.#agent.hello())
  }

  #enter(run: () => void): void {
    this.kernel.touched()
    run()
  }
}
