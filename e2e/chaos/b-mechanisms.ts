// The mechanisms of the scenarios with faults of the database and the readers, and of those with all faults together.
import type { Mechanism } from './mechanisms.ts'

const database = (test: string) => ({ proof: { file: 'e2e/chaos/b-database', test } })

/** A result that could not be written is forgotten. */
const finishOnce: readonly Mechanism[] = [
  {
    file: 'control-plane/src/objects/task-log/machine.ts',
    find: 'return finishFailed(state, input.why, random, now)',
    put: 'return { state: change(state, { over: true }), effects: [] }',
  },
]
const proving = (patches: readonly Mechanism[], test: string): readonly Mechanism[] =>
  patches.map((patch) => ({ ...patch, ...database(test) }))

export const mechanismsOfB: Readonly<Record<string, readonly Mechanism[] | Mechanism>> = {
  'result held until the row has it': proving(finishOnce, '20 '),
  'claim_id repeated': {
    file: 'control-plane/src/objects/cluster-hub/machine.ts',
    find: 'd.claim = { ...d.claim, busy: false }',
    put: 'd.claim = null',
    ...database('21 '),
  },
  'finish repeated after a lost answer': proving(finishOnce, '22 the answer'),
  'finish repeated after a lost request': proving(finishOnce, '22 the request'),
  'finish repeated while connections end': proving(finishOnce, '23 connections'),
  'finish repeated when connections are there again': proving(finishOnce, '23 no connection'),
  'window of unacknowledged bytes': {
    file: 'cluster-agent/src/link/task-line-machine.ts',
    find: 'state.units.length === 0 || (state.units.length < maxUnackedUnits && state.unackedBytes + bytes <= maxUnackedBytes)',
    put: 'state.units.length + maxUnackedUnits + maxUnackedBytes + bytes > 0',
    proof: { file: 'e2e/chaos/b-output', test: '41 ' },
  },
  'Last-Event-ID': {
    file: 'control-plane/src/routes/task-events.ts',
    find: 'last?.seq ?? query.after ?? 0',
    put: '(last, query.after ?? 0)',
    proof: { file: 'e2e/chaos/b-readers', test: '43 ' },
  },
  'limit of an undrained stream': {
    file: 'control-plane/src/routes/event-stream.ts',
    find: 'idleTicks * limits.heartbeatMs > limits.drainMs',
    put: 'idleTicks * limits.heartbeatMs < 0',
    proof: { file: 'e2e/chaos/b-readers', test: '44 a client of a busy' },
  },
  'streams end on purpose': {
    file: 'control-plane/src/routes/event-stream.ts',
    find: "if (elapsed(limits.rotateMs)) return stop('rotate')",
    put: '',
    proof: { file: 'e2e/chaos/b-readers', test: '44 a client of a quiet' },
  },
  'idempotency key': {
    file: 'control-plane/src/middleware/idempotency.ts',
    find: 'if (key === undefined) {',
    put: 'if (key === undefined || key !== undefined) {',
    proof: { file: 'e2e/chaos/b-queue', test: '49 ' },
  },
  'fair lanes': [
    ['greatest(l.vtime, pool.vtime, 0) as next_tag', '0::float8 as next_tag'],
    ['where n = slots', 'where n = slots and false'],
    [
      '(partition by class order by start_tag, run_after, id) as rank_in_class',
      '(partition by class order by run_after, id) as rank_in_class',
    ],
  ].map(([find = '', put = '']) => ({
    file: 'control-plane/src/stores/postgres/claim.ts',
    find,
    put,
    proof: { file: 'e2e/chaos/b-queue', test: '50 ' },
  })),
  'cursor of the log (everything at once)': {
    file: 'cluster-agent/src/link/task-line-machine.ts',
    find: "{ type: 'restart', received: frame.received, cursor: frame.cursor }",
    put: "{ type: 'restart', received: frame.received, cursor: startCursor }",
    proof: { file: 'e2e/chaos/b-everything', test: '53 ' },
  },
  'no alarm without work': {
    file: 'control-plane/src/objects/cluster-hub/machine.ts',
    find: 'd.connection !== null && (d.live.size > 0 || d.connection.hello === null)',
    put: 'd.connection !== null',
    proof: { file: 'e2e/chaos/b-idle', test: 'nothing is queued' },
  },
  /** Tools of scenarios, not proofs: limits of minutes become seconds. */
  'hasty streams': {
    file: 'control-plane/src/routes/event-stream.ts',
    find: '{ heartbeatMs: 9_000, rotateMs: 600_000, drainMs: 30_000, recheckMs: 45_000 }',
    put: '{ heartbeatMs: 500, rotateMs: 30_000, drainMs: 2_000, recheckMs: 45_000 }',
  },
  'counted objects': [
    {
      file: 'control-plane/src/main.ts',
      find: 'export class TaskLog extends TaskLogObject {',
      put: "import { counted } from '../../e2e/chaos/counted.ts'\nexport class TaskLog extends counted(TaskLogObject, 'TaskLog') {",
    },
    {
      file: 'control-plane/src/main.ts',
      find: 'export class ClusterHub extends ClusterHubObject {',
      put: "export class ClusterHub extends counted(ClusterHubObject, 'ClusterHub') {",
    },
  ],
}
