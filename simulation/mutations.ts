// The mechanisms that keep the promises, each with the text that takes it out of the real module when that is loaded. The shipped code has no
// switch for it. A text that is not found any more makes the proof fail loudly: then the mechanism has moved, and the mutation must follow.

import type { TextPatch } from '../dev/text-patch.ts'

export interface Mutation extends TextPatch {
  readonly name: string
  /** What it is for, in one line of the table. */
  readonly guards: string
  /** The module, by the end of its path. */
  readonly module: string
  /** Where two mechanisms back each other up, both are taken out; in the same module. */
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
    guards: 'what somebody wants cancelled is not tried again',
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
    guards: 'O_EXCL: whoever signs the directory first starts',
    module: pod,
    find: "if (here.owner !== undefined) return answer(here.owner === owner ? 'started' : 'exists')",
    put: '',
  },
  {
    name: 'begun-guard',
    guards: 'O_EXCL: whoever writes `begun` first decides whether it runs',
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
    guards: 'a newer connection closes the older, and what that still says is not heard',
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
    guards: 'rows are read after every claim of before has run, or will lease nothing',
    module: store,
    find: 'newest.generation !== generation || newest.number >= number',
    put: 'newest.generation === generation && newest.number >= number',
  },
  {
    name: 'doubted-requeue',
    guards: 'what its log has heard of is not given back as never started',
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
    guards: 'the same count at another cursor is read anew',
    module: line,
    find: 'if (!kept || (frame.received > 0 && !sameCursor(kept.cursor, frame.cursor))) {',
    put: 'if (!kept) {',
  },
  {
    name: 'line-attempt',
    guards: 'a line of an earlier attempt is closed when the row goes on, and refused',
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
    guards: 'what the row does not have yet is told again',
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
    guards: 'without its agent an attempt is lost only when its supervisor has surely ended it',
    module: hubAttempts,
    find: 'const goneAt = (row.task.lease_until ?? now) + orphanMs',
    put: 'const goneAt = row.task.lease_until ?? now',
  },
  {
    name: 'final-word',
    guards: 'what was sent to two agents is given back only on the word of its pod',
    module: hubAttempts,
    find: "entry.phase === 'assigned' && (!entry.resent || final.has(reason))",
    put: "entry.phase === 'assigned'",
  },
  {
    name: 'pod-meant',
    guards: 'an assignment that was long on its way starts nothing in the pod that has the name by now',
    module: runner,
    find: 'return pod_uid === null || pod?.uid === pod_uid ? pod : undefined',
    put: 'return pod',
  },
  {
    name: 'home',
    guards: 'what was meant for a pod does not start in another that took its name',
    module: pod,
    find: "if (home !== undefined && home !== disk.home) return answer('failed')",
    put: '',
  },
  {
    name: 'pod-uid',
    guards: 'what was leased to a pod is not sent to another of its name',
    module: hubAttempts,
    find: '} else if (leasedTo !== null && leasedTo !== pod.uid) {',
    put: '} else if (false) {',
  },
  {
    name: 'pod-not-ready',
    guards: 'a pod that cannot be looked into proves nothing',
    module: hubAttempts,
    find: '} else if (pod !== undefined && !pod.ready) {',
    put: '} else if (false) {',
  },
  {
    name: 'silent-pod',
    guards: 'a pod that did not answer is told as not ready',
    module: runner,
    find: 'return providers ? { ...pod, providers: [...providers] } : { ...pod, ready: false }',
    put: 'return providers ? { ...pod, providers: [...providers] } : pod',
  },
  {
    name: 'refused-for-ever',
    guards: 'what an agent refused once it never starts',
    module: runner,
    find: 'if (before) return before\n',
    put: '',
  },
  {
    name: 'drain-parks',
    guards: 'an agent that leaves and loses its connection does not come back and throw its successor out',
    module: hubLink,
    find: 'if (machine.state.draining) return socket.park()',
    put: '',
  },
  {
    name: 'retry-policy',
    guards: 'after a confirmed start only the policy gives another attempt',
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
]
