// Faults that wait for a moment, such as a frame of some type. They make coincidences common that chance alone gives once in a thousand histories.

import type { Assignment, AttemptRef } from '@rdev/shared/domain/attempt'
import type { History } from '../history.ts'
import { often, type Fault } from './fault.ts'

/** Calls `then` for a share of the frames of a type, with the frame and its connection. */
function on<Frame>(history: History, type: string, share: number, then: (frame: Frame, connection: Parameters<Listener>[2]) => void): void {
  const { network, kernel } = history
  network.listeners.push((its, text, connection) => {
    if (its === type && kernel.random.maybe(share)) then(JSON.parse(text) as Frame, connection)
  })
}
type Listener = History['network']['listeners'][number]
type Assign = { readonly tasks: readonly Assignment[] }

const podOf = ({ tasks }: Assign): string => tasks[0]?.pod ?? ''
/** The task of a line. */
const taskOf = (target: string): string => target.split(' ')[1] ?? ''

export const moments: readonly Fault[] = [
  {
    name: 'agent stopped as work arrives',
    begin: (history) => {
      const { cluster, kernel } = history
      const { random } = kernel
      on<Assign>(history, 'assign', 0.15, (frame, { client }) => {
        const agent = history.agents.find(({ life }) => life === client.life)
        history.stopAgent(random.int(5_000, 120_000), true, agent)
        if (random.maybe(0.6)) kernel.after(random.int(1_000, 60_000), kernel.world, () => cluster.replace(podOf(frame), false, 100))
      })
    },
  },
  {
    name: 'work is long on its way',
    begin: (history) => {
      const { cluster, kernel } = history
      const { random } = kernel
      on<Assign>(history, 'assign', 0.15, (frame, connection) => {
        if (history.agents.length > 2) return
        const forMs = random.int(3_000, 20_000)
        connection.downAt = kernel.now + forMs
        const twin = history.startAgent()
        kernel.after(random.int(1_000, forMs), kernel.world, () => cluster.replace(podOf(frame), false, random.int(0, 200)))
        kernel.after(forMs + 5_000, kernel.world, () => history.retire(twin))
      })
    },
  },
  {
    name: 'probe fails as work arrives',
    begin: (history) => {
      const { cluster, kernel } = history
      on<Assign>(history, 'assign', 0.6, (frame, { client }) => {
        cluster.failProbe(podOf(frame), kernel.random.skewed(1, 5_000))
        // And is asked for a hello, or has a reason of its own: the assignment is repeated.
        if (kernel.random.maybe(0.8)) history.agents.find(({ life }) => life === client.life)?.hello()
      })
    },
  },
  {
    name: 'another agent comes as work arrives',
    begin: (history) => {
      const { cluster, kernel } = history
      const { random } = kernel
      let pod = ''
      on(history, 'hello', 0.5, () => cluster.failProbe(pod, random.int(100, 5_000)))
      on<Assign>(history, 'assign', 0.3, (frame) => {
        if (history.agents.length > 2) return
        pod = podOf(frame)
        const twin = history.startAgent()
        cluster.holdStarts(random.int(1, 2_000))
        kernel.after(random.int(1_000, 20_000), kernel.world, () => history.retire(twin))
      })
    },
  },
  {
    name: 'all breaks as a start is told',
    begin: (history) => {
      const { cluster, database, kernel, plane } = history
      const { random } = kernel
      on<{ attempts: readonly AttemptRef[] }>(history, 'accepted', 0.25, ({ attempts }) => {
        const pod = history.ledger.of(attempts[0]?.task_id ?? '').at(-1)?.pod
        kernel.count('all breaks as a start is told')
        database.faults.away = true
        kernel.after(random.int(500, 60_000), kernel.world, () => (database.faults.away = false))
        // Often the pod goes while the hub is away, so that the next hub only misses it; and long enough to be given up.
        const resetInMs = random.int(10, 5_000)
        const goneInMs = random.maybe(0.5) ? resetInMs + random.int(0, 1_000) : random.int(10, 10_000)
        const goneForMs = random.maybe(0.5) ? random.int(31_000, 90_000) : random.skewed(100, 30_000)
        if (pod !== undefined) kernel.after(goneInMs, kernel.world, () => cluster.replace(pod, false, goneForMs))
        kernel.after(resetInMs, kernel.world, () => plane.hub.reset('the platform moves it'))
      })
    },
  },
  {
    name: 'hub reset as it claims',
    begin: ({ database, kernel, plane }) => {
      database.faults.claimHeld = 0.3
      database.onHeldClaim = () => kernel.after(kernel.random.int(10, 1_000), kernel.world, () => plane.hub.reset('the platform moves it'))
    },
  },
  {
    name: 'cut as an agent leaves',
    begin: (history, until) => {
      const { network, kernel } = history
      const { random } = kernel
      on(history, 'drain', 0.7, (_, connection) => network.cut(connection, random.pick(['both', 'client'])))
      often(history, until, history.scaled(60_000), () => history.upgradeAgent(random.maybe(0.5), random.pick(['go on', 'end'])))
    },
  },
  {
    name: 'cancelled as a result arrives',
    begin: (history) => on(history, 'result', 0.4, (_, { target }) => history.cancel(taskOf(target))),
  },
]
