// Faults that wait for their moment: what a thousand histories would meet once by chance, each of these meets often.

import type { Assignment } from '@rdev/shared/domain/attempt'
import type { History } from '../history.ts'
import type { Fault } from './faults.ts'

/** `then` for some of the frames of a type, with the frame and the connection that carries it. */
function on<Frame>(history: History, type: string, share: number, then: (frame: Frame, carrier: Parameters<Listener>[1]) => void): void {
  const { network, kernel } = history
  network.listeners.push((frame, connection) => {
    if (frame.type === type && kernel.random.maybe(share)) then(frame as Frame, connection)
  })
}
type Listener = History['network']['listeners'][number]
type Assign = { readonly tasks: readonly Assignment[] }

const podOf = ({ tasks }: Assign): string => tasks[0]?.pod ?? ''
/** Of the line that brings a result. */
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
    name: 'probe fails as work arrives',
    begin: (history) =>
      on<Assign>(history, 'assign', 0.3, (frame) => history.cluster.failProbe(podOf(frame), history.kernel.random.skewed(1, 5_000))),
  },
  {
    name: 'all breaks as a result arrives',
    begin: (history) => {
      const { cluster, database, kernel, plane } = history
      const { random } = kernel
      on(history, 'result', 0.15, (_, { target }) => {
        const pod = history.ledger.of(taskOf(target)).at(-1)?.pod
        kernel.count('all breaks as a result arrives')
        database.faults.away = true
        kernel.after(random.int(500, 60_000), kernel.world, () => (database.faults.away = false))
        if (pod !== undefined)
          kernel.after(random.int(10, 3_000), kernel.world, () => cluster.replace(pod, false, random.skewed(100, 30_000)))
        kernel.after(random.int(10, 1_000), kernel.world, () => plane.hub.reset('the platform moves it'))
      })
    },
  },
  {
    name: 'cancelled as a result arrives',
    begin: (history) => on(history, 'result', 0.4, (_, { target }) => history.cancel(taskOf(target))),
  },
]
