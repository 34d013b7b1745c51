// Causes faults at random: each program is killed and started again, connections are cut and answers lost, each at its own rate, so often at the
// same time. Pods and supervisors are not touched, because an attempt may be lost with them.
import type { DatabaseProxy } from './database-proxy.ts'
import { statements } from './database-proxy.ts'
import type { PostgresServer } from './postgres.ts'
import type { Random } from './random.ts'
import type { Chaos } from './setup.ts'

export interface Nemesis {
  /** The number of each kind of fault. */
  readonly counts: Readonly<Record<string, number>>
  /** Resolves when every program runs again. */
  stop(): Promise<void>
}

export interface Victims {
  readonly chaos: Chaos
  readonly postgres: PostgresServer
  readonly database: DatabaseProxy
}

export function startNemesis({ chaos, postgres, database }: Victims, random: Random, pauseMs: readonly [number, number]): Nemesis {
  const counts: Record<string, number> = {}
  const over = new AbortController()
  const count = (what: string) => void (counts[what] = (counts[what] ?? 0) + 1)

  const acts: Readonly<Record<string, Readonly<Record<string, () => Promise<void>>>>> = {
    agent: {
      'agent killed': async () => {
        await chaos.agent.kill('SIGKILL')
        await sleep(random.between(0, 2_000))
        await until(() => chaos.startAgent())
      },
      'agent frozen': async () => {
        await chaos.agent.kill('SIGSTOP')
        await sleep(random.between(500, 4_000))
        await chaos.agent.kill('SIGCONT')
      },
    },
    controlPlane: {
      'workerd killed': async () => {
        await chaos.controlPlane.kill('SIGKILL')
        await sleep(random.between(0, 1_500))
        await until(() => chaos.startControlPlane())
      },
    },
    postgres: {
      'Postgres killed': async () => {
        await postgres.kill()
        await sleep(random.between(0, 2_000))
        await postgres.start()
      },
      'Postgres restarted': () => postgres.restart(),
      'backends terminated': async () => void (await postgres.terminateBackends()),
    },
    databaseProxy: {
      'database proxy killed': async () => {
        await chaos.database.kill('SIGKILL')
        await sleep(random.between(0, 1_000))
        // It connects to the server at its start, which may be down now.
        await until(() => chaos.startDatabase())
      },
    },
    network: {
      'agent cut off': async () => void chaos.agentProxy.cut(),
      'agent in silence': async () => {
        const hold = chaos.agentProxy.hold()
        await sleep(random.between(200, 3_000))
        hold.release()
      },
      'clients cut off': async () => void chaos.clientProxy.cut(),
      'database cut off': async () => database.cut(),
      'answer of a claim lost': async () => void database.lose('answer', statements.claim),
      'answer of a finish lost': async () => void database.lose('answer', statements.finish),
      'request of a finish lost': async () => void database.lose('request', statements.finish),
    },
  }

  const loops = Object.values(acts).map(async (group) => {
    for (;;) {
      await sleep(random.between(...pauseMs), over.signal)
      if (over.signal.aborted) return
      const [what, act] = random.pick(Object.entries(group))
      count(what)
      await act()
    }
  })
  return {
    counts,
    stop: async () => {
      over.abort()
      await Promise.all(loops)
    },
  }
}

/** Starts a program again if it cannot start because another is down. */
async function until(start: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await start()
    } catch (error) {
      if (tries === 100) throw error
      await sleep(300)
    }
  }
}

const sleep = (ms: number, signal?: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
