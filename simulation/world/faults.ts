// The faults. Each history draws some of them, with strengths of its own; `History#heal` ends them all.

import { episodes, often, type Fault } from './fault.ts'
import { moments } from './moments.ts'

export const faults: readonly Fault[] = [
  { name: 'resources fail', begin: ({ resources, kernel }) => void (resources.fails = kernel.random.chance() * 0.3) },
  {
    name: 'cuts',
    begin: (history, until) => {
      const { network, kernel } = history
      often(history, until, history.scaled(kernel.random.int(3_000, 60_000)), () => {
        const all = [...network.connections].filter((each) => each.clientOpen && each.serverOpen)
        if (all.length > 0) network.cut(kernel.random.pick(all), kernel.random.pick(['both', 'both', 'client', 'server', 'none']))
      })
    },
  },
  { name: 'slow network', begin: ({ network, kernel }) => void (network.faults.slowMs = kernel.random.skewed(50, 8_000)) },
  { name: 'batches lost or doubled', begin: ({ network, kernel }) => void (network.faults.unfaithful = kernel.random.chance() * 0.2) },
  {
    name: 'partitions',
    begin: (history, until) => {
      const { network, kernel } = history
      const longest = kernel.random.pick([5_000, 60_000, 700_000])
      episodes(
        history,
        until,
        history.scaled(60_000),
        longest,
        () => {
          const way = kernel.random.pick(['up', 'down', 'both'])
          kernel.count(`partition: ${way}`)
          kernel.say('network', () => `blocked: ${way}`)
          if (way !== 'down') network.faults.upBlocked = true
          if (way !== 'up') network.faults.downBlocked = true
        },
        () => {
          network.faults.upBlocked = network.faults.downBlocked = false
          kernel.say('network', () => 'free again')
          // Some connections did not survive the partition.
          for (const connection of network.connections)
            if (kernel.random.maybe(0.3)) network.cut(connection, kernel.random.pick(['both', 'client', 'server', 'none']))
          network.unblocked()
        },
      )
    },
  },
  { name: 'crashes in an entry', begin: ({ platform, kernel }) => void (platform.faults.crash = 0.002 + kernel.random.chance() * 0.02) },
  { name: 'sleep', begin: ({ platform, kernel }) => void (platform.faults.sleep = 0.02 + kernel.random.chance() * 0.4) },
  {
    name: 'alarms',
    begin: ({ platform, kernel }) => {
      platform.faults.alarmLate = kernel.random.chance() * 0.5
      platform.faults.alarmFails = kernel.random.chance() * 0.5
    },
  },
  {
    name: 'control plane killed',
    begin: (history, until) => {
      const { platform, kernel } = history
      const longest = kernel.random.pick([500, 10_000, 120_000])
      often(history, until, history.scaled(kernel.random.int(15_000, 120_000)), () =>
        platform.kill('SIGKILL', kernel.random.skewed(20, longest)),
      )
    },
  },
  {
    name: 'objects reset',
    begin: (history, until) => {
      const { platform, kernel } = history
      often(history, until, history.scaled(10_000), () => {
        const cells = [...platform.cells.values()].filter((cell) => cell.inMemory)
        if (cells.length > 0) kernel.random.pick(cells).reset('the platform moves it')
      })
    },
  },
  {
    name: 'calls between objects',
    begin: ({ plane, kernel }) => {
      plane.rpcFaults.fails = kernel.random.chance() * 0.3
      plane.rpcFaults.slowMs = kernel.random.skewed(0, 20_000)
    },
  },
  {
    name: 'database away',
    begin: (history, until) => {
      const { database, kernel } = history
      const longest = kernel.random.pick([2_000, 60_000, 1_200_000])
      episodes(
        history,
        until,
        history.scaled(60_000),
        longest,
        () => {
          kernel.count('database away')
          kernel.say('database', () => 'is away')
          database.faults.away = true
        },
        () => {
          kernel.say('database', () => 'is back')
          database.faults.away = false
        },
      )
    },
  },
  {
    name: 'statements fail before',
    begin: ({ database, kernel }) => void (database.faults.failBefore = 0.02 + kernel.random.chance() * 0.2),
  },
  {
    name: 'answers lost after commit',
    begin: ({ database, kernel }) => void (database.faults.failAfter = 0.02 + kernel.random.chance() * 0.3),
  },
  { name: 'slow database', begin: ({ database, kernel }) => void (database.faults.slow = 0.05 + kernel.random.chance() * 0.4) },
  { name: 'statements repeated', begin: ({ database, kernel }) => void (database.faults.repeated = 0.02 + kernel.random.chance() * 0.3) },
  { name: 'values refused', begin: ({ database, kernel }) => void (database.faults.refused = 0.1 + kernel.random.chance() * 0.5) },
  {
    name: 'agent killed',
    begin: (history, until) => {
      const { kernel } = history
      const away = kernel.random.pick([100, 5_000, 120_000])
      often(history, until, history.scaled(kernel.random.int(10_000, 120_000)), () => history.killAgent(kernel.random.skewed(10, away)))
    },
  },
  {
    name: 'agent stopped for a while',
    begin: (history, until) => {
      const { kernel } = history
      const longest = kernel.random.pick([3_000, 90_000, 2_700_000])
      often(history, until, history.scaled(40_000), () => history.stopAgent(kernel.random.skewed(100, longest), kernel.random.maybe(0.4)))
    },
  },
  {
    name: 'agent upgraded',
    begin: (history, until) => often(history, until, history.scaled(60_000), () => history.upgradeAgent(history.kernel.random.maybe(0.5))),
  },
  {
    name: 'two agents',
    begin: (history, until) =>
      often(history, until, history.scaled(90_000), () => {
        const twin = history.startAgent()
        history.kernel.count('second agent')
        history.kernel.after(history.kernel.random.skewed(1_000, 200_000), history.kernel.world, () => history.retire(twin))
      }),
  },
  {
    name: 'keys revoked',
    begin: (history, until) => often(history, until, history.scaled(120_000), () => void history.replaceKey()),
  },
  {
    name: 'commands lost',
    begin: ({ cluster, kernel }) => {
      cluster.faults.lost = 0.02 + kernel.random.chance() * 0.25
      cluster.faults.late = kernel.random.maybe(0.5) ? kernel.random.chance() : 0
    },
  },
  { name: 'slow commands', begin: ({ cluster, kernel }) => void (cluster.faults.slowMs = kernel.random.skewed(100, 30_000)) },
  { name: 'slow pods', begin: ({ cluster, kernel }) => void (cluster.podFaults.slow = kernel.random.chance() * 0.6) },
  { name: 'disk full', begin: ({ cluster, kernel }) => void (cluster.podFaults.diskFull = 0.1 + kernel.random.chance() * 0.5) },
  {
    name: 'API server away',
    begin: (history, until) => {
      const { cluster, kernel } = history
      const longest = kernel.random.pick([3_000, 90_000, 600_000])
      episodes(
        history,
        until,
        history.scaled(90_000),
        longest,
        () => {
          cluster.faults.away = true
          kernel.count('API server away')
          kernel.say('kubernetes', () => 'the API server is away')
          for (const pod of cluster.pods.values()) pod.cutStreams()
        },
        () => {
          cluster.faults.away = false
          kernel.say('kubernetes', () => 'the API server is back')
        },
      )
    },
  },
  {
    name: 'pods replaced',
    begin: (history, until) => {
      const { cluster, kernel } = history
      often(history, until, history.scaled(60_000), () =>
        cluster.replace(kernel.random.pick(history.podNames), kernel.random.maybe(0.2), kernel.random.skewed(1_000, 60_000)),
      )
    },
  },
  {
    name: 'binaries missing',
    begin: (history, until) => {
      const { cluster, kernel } = history
      cluster.podFaults.noBinary = 0.2 + kernel.random.chance() * 0.5
      often(history, until, history.scaled(90_000), () =>
        cluster.replace(kernel.random.pick(history.podNames), false, kernel.random.skewed(100, 10_000)),
      )
    },
  },
  {
    name: 'containers restart',
    begin: (history, until) => {
      const { cluster, kernel } = history
      often(history, until, history.scaled(60_000), () => {
        const pod = cluster.pods.get(kernel.random.pick(history.podNames))
        if (pod === undefined || pod.life.dead) return
        kernel.count('container restarted')
        kernel.say(`pod ${pod.name}/${pod.uid}`, () => 'its container ends, and is started again')
        pod.endContainer()
        cluster.changed()
        kernel.after(kernel.random.skewed(1, 30_000), kernel.world, () => {
          if (cluster.pods.get(pod.name) === pod) pod.restart()
          cluster.changed()
        })
      })
    },
  },
  {
    name: 'probes fail',
    begin: (history, until) => {
      const { cluster, kernel } = history
      often(history, until, history.scaled(8_000), () =>
        cluster.failProbe(kernel.random.pick(history.podNames), kernel.random.skewed(100, 10_000)),
      )
    },
  },
  {
    name: 'nodes unreachable',
    begin: (history, until) => {
      const { cluster, kernel } = history
      often(history, until, history.scaled(90_000), () => {
        const pod = cluster.pods.get(kernel.random.pick(history.podNames))
        if (pod === undefined || !pod.reachable) return
        kernel.count('node unreachable')
        kernel.say(`pod ${pod.name}/${pod.uid}`, () => 'cannot be reached; what runs in it goes on')
        pod.reachable = false
        pod.cutStreams()
        // The inventory shows it later than commands do.
        kernel.after(kernel.random.skewed(1, 40_000), kernel.world, () => cluster.changed())
        kernel.after(kernel.random.skewed(500, kernel.random.pick([20_000, 600_000])), kernel.world, () => {
          pod.reachable = true
          kernel.say(`pod ${pod.name}/${pod.uid}`, () => 'can be reached again')
          cluster.changed()
        })
      })
    },
  },
  {
    name: 'supervisors killed',
    begin: (history, until) => {
      const { cluster, kernel } = history
      cluster.podFaults.supervisorDies = kernel.random.chance() * 0.2
      often(history, until, history.scaled(20_000), () => {
        const pod = cluster.pods.get(kernel.random.pick(history.podNames))
        const alive = [...(pod?.disk.directories.values() ?? [])].filter((each) => each.alive)
        if (alive.length > 0) kernel.random.pick(alive).killSupervisor(kernel.random.maybe(0.3))
      })
    },
  },
  {
    name: 'hostile tasks',
    begin: ({ cluster, kernel }) => {
      cluster.podFaults.impostor = 0.1 + kernel.random.chance() * 0.3
      cluster.podFaults.crowds = kernel.random.maybe(0.5) ? kernel.random.int(1, 3) : 0
    },
  },
  {
    name: 'streams cut',
    begin: (history, until) => {
      const { cluster, kernel } = history
      often(history, until, history.scaled(10_000), () => cluster.pods.get(kernel.random.pick(history.podNames))?.cutStreams())
    },
  },
  {
    name: 'clocks',
    begin: (history, until) => {
      const { cluster, kernel } = history
      const jump = () => kernel.random.int(-3_600_000, 3_600_000)
      often(history, until, history.scaled(60_000), () => {
        for (const agent of history.agents) agent.skewMs = jump()
        for (const pod of cluster.pods.values()) pod.skewMs = jump()
      })
    },
  },
  ...moments,
  { name: 'acknowledgements cut', begin: ({ network, kernel }) => void (network.faults.resultCut = 0.1 + kernel.random.chance() * 0.6) },
  { name: 'readers cut', begin: (history) => void (history.readerCutMs = history.kernel.random.int(500, 30_000)) },
]
