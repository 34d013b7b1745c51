// The list of mutations: each takes one mechanism out of the real module while that is loaded, by replacing a text. The shipped code has no
// switch for it. If the text is not found exactly once, a test fails: then the mechanism has moved, and the mutation must follow.

import type { TextPatch } from '../dev/text-patch.ts'

export interface Mutation extends TextPatch {
  readonly name: string
  /** The promise that the mechanism keeps, for the table. */
  readonly guards: string
  /** The module's path in the repository. */
  readonly module: string
  /** A second text of the same module, where two mechanisms keep the promise: both are taken out. */
  readonly also?: TextPatch
}

const hubAttempts = 'control-plane/src/objects/cluster-hub/attempts-machine.ts'
const hub = 'control-plane/src/objects/cluster-hub/machine.ts'
const taskLog = 'control-plane/src/objects/task-log/machine.ts'
const hubDriver = 'control-plane/src/objects/cluster-hub/driver.ts'
const taskLogDriver = 'control-plane/src/objects/task-log/driver.ts'
const task = 'shared/src/domain/task.ts'
const line = 'cluster-agent/src/link/task-line-machine.ts'
const hubLink = 'cluster-agent/src/link/hub-link.ts'
const runner = 'cluster-agent/src/runner/runner-machine.ts'
const claim = 'control-plane/src/stores/memory/claim.ts'
const store = 'control-plane/src/stores/memory/dispatch.ts'
const pod = 'simulation/pods/pod.ts'
const directory = 'simulation/pods/attempt-directory.ts'

export const mutations: readonly Mutation[] = [
  {
    name: 'finish-attempt',
    guards: 'the attempt check in finish',
    module: task,
    find: "if (isTerminal(task.status) || task.status === 'queued' || task.attempt !== attempt) return task\n  const { duration_ms",
    put: "if (isTerminal(task.status) || task.status === 'queued') return task\n  const { duration_ms",
  },
  {
    name: 'finish-terminal',
    guards: 'a terminal row never changes',
    module: task,
    find: "if (isTerminal(task.status) || task.status === 'queued' || task.attempt !== attempt) return task\n  const { duration_ms",
    put: 'if (task.attempt !== attempt) return task\n  const { duration_ms',
  },
  {
    name: 'cancel-fence',
    guards: 'a task with a cancel request gets no further attempt',
    module: task,
    find: ' || task.attempt !== attempt || task.cancel_requested_at !== null) return task',
    put: ' || task.attempt !== attempt) return task',
  },
  {
    name: 'requeue-attempt',
    guards: 'the attempt check in requeue',
    module: task,
    find: "if (task.status !== 'leased' || task.attempt !== attempt) return task\n  return { ...task, status: 'queued'",
    put: "if (task.status !== 'leased') return task\n  return { ...task, status: 'queued'",
  },
  {
    name: 'floor',
    guards: 'the floor of a task in its pod',
    module: pod,
    find: 'const floor = () => disk.floors.get(ref.task_id) ?? 0',
    put: 'const floor = () => 0 * (disk.floors.get(ref.task_id) ?? 0)',
  },
  {
    name: 'start-guard',
    guards: 'O_EXCL: the first to sign the directory starts the attempt',
    module: pod,
    find: "if (here.owner !== undefined) return answer(here.owner === owner ? 'started' : 'exists')",
    put: '',
  },
  {
    name: 'begun-guard',
    guards: 'O_EXCL: the first to create `begun` decides whether the process runs',
    module: directory,
    find: 'if (this.begun !== undefined) {',
    put: 'if (this.begun === null) {',
  },
  {
    name: 'reason-guard',
    guards: 'the first reason of an end wins',
    module: directory,
    find: 'this.reason ??= { why, killAt: kernel.now + graceMs }',
    put: 'this.reason = { why, killAt: kernel.now + graceMs }',
  },
  {
    name: 'hub-connection',
    guards: 'a newer connection closes the older, and later frames of the older are ignored',
    module: hub,
    find: 'if (d.connection?.id === input.connection) frame(d, d.connection, input.frame, random, now)',
    put: 'if (d.connection !== null) frame(d, d.connection, input.frame, random, now)',
    also: {
      find: "d.effects.push({ type: 'close', connection: d.connection.id, code: closeCodes.superseded, reason })",
      put: 'void reason',
    },
  },
  {
    name: 'line-epoch',
    guards: 'a line with an older epoch is refused',
    module: taskLog,
    find: 'if (past || line.epoch < durable.epoch)',
    put: 'if (past)',
  },
  {
    name: 'claim-id',
    guards: 'a claim whose answer was lost is repeated by its id',
    module: hub,
    find: 'd.claim = { ...d.claim, busy: true }',
    put: 'd.claim = { ...d.claim, busy: true, claim_id: claimId(d) }',
  },
  {
    name: 'claim-void',
    guards: 'a claim that has run, or an older one, leases nothing',
    module: store,
    find: 'newest.generation !== generation || newest.number >= number',
    put: 'newest.generation !== generation',
  },
  {
    name: 'claim-generation',
    guards: 'claims from before the rows were read have run by then, or lease nothing',
    module: store,
    find: 'newest.generation !== generation || newest.number >= number',
    put: 'newest.generation === generation && newest.number >= number',
  },
  {
    name: 'doubted-requeue',
    guards: 'an attempt of which the log has events is not requeued as never started',
    module: 'control-plane/src/objects/cluster-hub/store-calls.ts',
    find: 'write.doubted !== null && ',
    put: 'write.doubted === undefined && ',
  },
  {
    name: 'received-check',
    guards: 'events must follow on what the log holds',
    module: taskLog,
    find: "if (up.after !== durable.received) return hangUp(state, line, closeCodes.gap, 'events do not follow on what is held')",
    put: '',
  },
  {
    name: 'repeat-check',
    guards: 'a batch that the log holds is not stored twice',
    module: taskLog,
    find: 'if (up.after + up.events.length <= durable.received && up.after < durable.received) return { state, effects: ack(state) }\n  if (up.after !== durable.received)',
    put: 'if (up.after > durable.received)',
  },
  {
    name: 'cursor',
    guards: 'the cursor is stored with its events',
    module: taskLog,
    find: 'const cursor = durable.result === null ? up.cursor : durable.cursor',
    put: 'const cursor = durable.cursor',
  },
  {
    name: 'cursor-compare',
    guards: 'if the log has the same count with another cursor, the output is read again',
    module: line,
    find: 'if (!kept || (frame.received > 0 && !sameCursor(kept.cursor, frame.cursor))) {',
    put: 'if (!kept) {',
  },
  {
    name: 'line-attempt',
    guards: 'a line of an earlier attempt is closed when the next attempt begins, and refused',
    module: taskLog,
    find: 'const past = line.attempt < durable.attempt || (durable.over && durable.result === null)',
    put: 'const past = false',
    also: {
      find: 'if (line !== null && (line.attempt !== durable.attempt || (durable.over && durable.result === null))) {',
      put: 'if (false) {',
    },
  },
  {
    name: 'result-held',
    guards: 'a result is held before it is acknowledged',
    module: taskLog,
    find: 'const kept = change(state, { result: up.outcome, tries: 0 })\n  const told = tellRow(kept, now)\n  return { state: told.state, effects: [...ack(kept), ...told.effects] }',
    put: 'const kept = change(state, { result: up.outcome, tries: 0 })\n  const told = tellRow(kept, now)\n  return { state: { ...told.state, durable: state.durable }, effects: [...ack(kept), ...told.effects] }',
  },
  {
    name: 'stored-first',
    guards: 'what a step changes is stored before anything of it is told',
    module: taskLogDriver,
    find: 'this.#platform.commit({ batches, memory, alarmAt })',
    put: '{\n      const write = { batches: [...batches], memory, alarmAt }\n      this.#platform.after(50, () => this.#platform.commit(write))\n    }',
  },
  {
    name: 'alarm-dropped',
    guards: 'an alarm that nobody wants any more is deleted: it would wake an idle object again and again',
    module: hubDriver,
    find: 'return effect.at === null ? this.#dropAlarm() : this.#wantAlarm()',
    put: 'return effect.at === null ? undefined : this.#wantAlarm()',
  },
  {
    name: 'result-wins',
    guards: 'a result that is held wins over what the hub concludes',
    module: taskLog,
    find: 'if (durable.result !== null) return tellRow(state, now)\n',
    put: '',
  },
  {
    name: 'finish-alarm',
    guards: 'a result that the row does not have yet is written again',
    module: taskLog,
    find: "finishing: false }, effects: [{ type: 'alarm', at: again }] }",
    put: 'finishing: false }, effects: [] }',
    also: { find: "{ type: 'alarm', at: now + finishRescueMs }", put: "{ type: 'alarm', at: null }" },
  },
  {
    name: 'result-after-events',
    guards: 'a result follows on all its events',
    module: taskLog,
    find: "if (up.after !== durable.received) return hangUp(state, line, closeCodes.gap, 'the result does not follow on what is held')",
    put: '',
  },
  {
    name: 'orphan-proof',
    guards: 'without its agent an attempt is lost only when its supervisor must have ended it',
    module: hubAttempts,
    find: 'const goneAt = (row.task.lease_until ?? now) + orphanMs',
    put: 'const goneAt = row.task.lease_until ?? now',
  },
  {
    name: 'final-word',
    guards: 'an assignment that was sent to two agents is requeued only if its pod refused it',
    module: hubAttempts,
    find: "entry.phase === 'assigned' && (!entry.resent || final.has(reason))",
    put: "entry.phase === 'assigned'",
  },
  {
    name: 'pod-meant',
    guards: 'a late assignment starts nothing in a later pod of the same name',
    module: runner,
    find: 'return pod_uid === null || pod?.uid === pod_uid ? pod : undefined',
    put: 'return pod',
  },
  {
    name: 'home',
    guards: 'a start for one home does not run in the home of a later pod of the same name',
    module: pod,
    find: "if (home !== undefined && home !== disk.home) return answer('failed')",
    put: '',
  },
  {
    name: 'pod-uid',
    guards: 'an attempt that was leased to a pod is not sent to a later pod of the same name',
    module: hubAttempts,
    find: '} else if (leasedTo !== null && leasedTo !== pod.uid) {',
    put: '} else if (false) {',
  },
  {
    name: 'pod-not-ready',
    guards: 'a pod that is not ready proves nothing about its attempts',
    module: hubAttempts,
    find: '} else if (pod !== undefined && !pod.ready) {',
    put: '} else if (false) {',
  },
  {
    name: 'silent-pod',
    guards: 'a pod that did not answer is told as not ready',
    module: runner,
    find: 'const told = providers ? { ...pod, providers: [...providers] } : { ...pod, ready: false }',
    put: 'const told = providers ? { ...pod, providers: [...providers] } : pod',
  },
  {
    name: 'refused-for-ever',
    guards: 'an agent never starts an attempt that it refused once',
    module: runner,
    find: 'if (before) return before\n',
    put: '',
  },
  {
    name: 'ceiling',
    guards: 'an attempt that its supervisor does not end at its time limit is ended by the agent',
    module: 'cluster-agent/src/runner/attempt-run.ts',
    find: "this.#alarm('ceiling', this.#assignment.timeout_s * 1000 + ceilingGraceMs)",
    put: '',
  },
  {
    name: 'list-bound',
    guards: 'a pod with thousands of directories does not keep its cluster from saying hello',
    module: runner,
    find: 'if (!overfull(list)) return listed.has(podKey(list.pod)) ? attempts : []',
    put: 'if (list.pod.name !== null) return attempts',
  },
  {
    name: 'inventory-parts',
    guards: 'nothing of an inventory that comes in parts is believed before its last part',
    module: 'control-plane/src/objects/cluster-hub/inventory-parts.ts',
    find: 'if (parts === 1) return { told: null, whole: frame }',
    put: 'if (parts > 0) return { told: null, whole: frame }',
  },
  {
    name: 'drain-parks',
    guards: 'a draining agent that loses its connection does not dial again and supersede the next agent',
    module: hubLink,
    find: 'if (machine.state.draining) return socket.park()',
    put: '',
  },
  {
    name: 'claim-key',
    guards: 'a claim leases nothing for a key that is revoked',
    module: store,
    find: 'superseded || keyRefused ||',
    put: 'superseded ||',
  },
  {
    name: 'hub-key',
    guards: 'the key of the hub’s open socket is judged again',
    module: 'control-plane/src/objects/cluster-hub/key-machine.ts',
    find: 'if (connection === null || connection.judging',
    put: 'if (connection === null || now > 0 || connection.judging',
  },
  {
    name: 'line-key',
    guards: 'the key of an open line is judged again',
    module: taskLog,
    find: 'if (age < judgeKeyEveryMs && line.held.length === 0) return',
    put: 'if (age < Infinity) return',
  },
  {
    name: 'retry-policy',
    guards: 'after a confirmed start only the retry policy gives another attempt',
    module: task,
    find: 'task.spec.retry.on.includes(kind)',
    put: 'true',
  },
  {
    name: 'max-running',
    guards: 'at most max_running live tasks of a project',
    module: claim,
    find: 'count >= lane.max_running',
    put: 'count > lane.max_running',
  },
  {
    name: 'refused-report',
    guards: 'what the database refuses for ever is not repeated for ever',
    module: hub,
    find: "      if (why !== 'away') return void d.writes.delete(id)\n",
    put: '',
  },
  {
    name: 'refused-result',
    guards: 'a result that the row refuses is written without what was refused',
    module: taskLog,
    find: "if (why === 'data' && !isBare(durable.result)) {",
    put: 'if (false) {',
  },
]
