// The mechanisms of the scenarios between agent and control plane, and of cancels.
import type { Mechanism } from './mechanisms.ts'

type Patch = Omit<Mechanism, 'proof'>
const proof = (file: string, test: string, ...patches: readonly Patch[]): readonly Mechanism[] =>
  patches.map((patch) => ({ ...patch, proof: { file: `e2e/chaos/${file}`, test } }))
const patch = (file: string, find: string, put: string): Patch => ({ file, find, put })

const supervisor = 'cluster-agent/src/pods/supervisor.sh'
const start = 'cluster-agent/src/pods/start.sh'
const main = 'cluster-agent/src/pods/main.sh'
const line = 'cluster-agent/src/link/task-line-machine.ts'
const connection = 'cluster-agent/src/link/reconnecting-socket-machine.ts'
const runner = 'cluster-agent/src/runner/runner-machine.ts'
const taskLog = 'control-plane/src/objects/task-log/machine.ts'
const hub = 'control-plane/src/objects/cluster-hub/machine.ts'
const attempts = 'control-plane/src/objects/cluster-hub/attempts-machine.ts'

/** Both files that are created with O_EXCL: the signed one, and the one that the main process creates before it begins. */
const startGuard: readonly Patch[] = [
  patch(start, 'r_claim "$r_dir/supervisor"', 'rm -f "$r_dir/supervisor"; r_claim "$r_dir/supervisor"'),
  patch(main, 'r_claim "$r_dir/begun"', 'rm -f "$r_dir/begun"; r_claim "$r_dir/begun"'),
]
const cursorInResume = patch(
  line,
  `{ type: 'restart', received: frame.received, cursor: frame.cursor }`,
  `{ type: 'restart', received: frame.received, cursor: startCursor }`,
)
const assignedAgain = patch(attempts, `      d.live.set(name, entry)\n      again.push(entry)\n`, `      d.live.set(name, entry)\n`)
const numbered: readonly Patch[] = [
  patch(
    taskLog,
    `if (up.after + up.events.length <= durable.received && up.after < durable.received) return { state, effects: ack(state) }`,
    '',
  ),
  patch(
    taskLog,
    `if (up.after !== durable.received) return hangUp(state, line, closeCodes.gap, 'events do not follow on what is held')`,
    '',
  ),
]
const dialledAgain = patch(
  connection,
  `      { type: 'timer', timer: 'dial', inMs: delay, socket },\n    ],\n  }\n}\n\n/** A socket`,
  `    ],\n  }\n}\n\n/** A socket`,
)

export const mechanismsOfA: Readonly<Record<string, readonly Mechanism[]>> = {
  'cursor of the log': proof('a-01', '1 the agent is killed twice', cursorInResume),
  'cursor of the log (Claude Code)': proof('a-01', '1 the agent is killed during a tool call of claude-code', cursorInResume),
  'cursor of the log (OpenCode)': proof('a-01', '1 the agent is killed during a tool call of opencode', cursorInResume),
  'one line of an attempt and events counted': proof(
    'a-01',
    '2 the agent is frozen in the middle of a run',
    ...numbered,
    patch(taskLog, `return state.line?.connection === input.connection ? judged`, `return state.line ? judged`),
    patch(
      taskLog,
      `if (state.line !== null) effects.push(close(state.line.connection, closeCodes.superseded, 'a newer connection took over'))`,
      '',
    ),
  ),
  'start guard (frozen agent)': proof('a-01', '2 the agent is frozen with an assignment', ...startGuard),
  floor: proof('a-01', '2 · 7 ', patch(supervisor, `[ "$r_x" -gt "$r_low" ] && r_low=$r_x`, ':')),
  'assigned again after hello': proof('a-01', '3 ', assignedAgain),
  'inventory of attempts and start guard': proof(
    'a-01',
    '4 ',
    ...startGuard,
    patch('cluster-agent/src/runner/runner.ts', `attempts: attemptsOf(machine.state, lists)`, 'attempts: []'),
  ),
  'start guard (repeated exec)': proof('a-01', '6 ', ...startGuard),
  'protocol version': proof(
    'a-01',
    '51 an agent of a protocol',
    patch('shared/src/wire/version.ts', 'version >= oldestProtocolVersion && version <= protocolVersion', 'version > 0'),
  ),
  'unknown types of frames ignored': proof(
    'a-01',
    '51 frames',
    patch('shared/src/wire/codec.ts', `return { ok: false, reason: 'unknown_type' }`, `return { ok: false, reason: 'malformed' }`),
  ),
  'assigned again after a cut': proof('a-02', '5 an assignment is lost', assignedAgain),
  'one run of a name and start guard': proof(
    'a-02',
    '5 an assignment comes twice',
    ...startGuard,
    patch(runner, `if (state.runs.has(name)) return again(state, assignment)`, ''),
  ),
  'kept until acknowledged': proof(
    'a-02',
    '12 connections',
    patch(
      line,
      `pump({ ...kept, phase: 'up', sent: 0, sentEvents: 0 }, now, true)`,
      `pump({ ...kept, phase: 'up', units: [], unackedBytes: 0, sent: 0, sentEvents: 0 }, now, true)`,
    ),
  ),
  'events recognised by their number': proof(
    'a-02',
    '13 ',
    ...numbered,
    patch(line, `const kept = keepAfter(state, frame.received)\n`, `const kept = state.acked === undefined ? undefined : state\n`),
    patch(line, `if (!kept || (frame.received > 0 && !sameCursor(kept.cursor, frame.cursor))) {`, 'if (!kept) {'),
  ),
  'cursor stored with its events': proof(
    'a-02',
    '15 workerd',
    patch(taskLog, `const cursor = durable.result === null ? up.cursor : durable.cursor`, 'const cursor = durable.cursor'),
  ),
  'result told until the row has it': proof(
    'a-02',
    '17 ',
    patch(taskLog, `const told = tellRow({ ...state, line }, now)`, 'const told: TaskLogStep = { state: { ...state, line }, effects: [] }'),
    patch(taskLog, `case 'alarm':\n      return tellRow(state, now)`, `case 'alarm':\n      return { state, effects: [] }`),
    // Without this patch, the hub's conclusion after the directory is removed would write the result too.
    patch(taskLog, `if (durable.result !== null) return tellRow(state, now)`, 'if (durable.result !== null) return { state, effects: [] }'),
  ),
  'rows read by the hub that is new': proof('a-02', '26 ', assignedAgain),
  'dialling again': proof('a-02', '16 ', dialledAgain),
  'superseded waits': proof('a-03', '8 ', patch(connection, `if (code === closeCodes.superseded) return supersededWaitMs`, '')),
  'missed pongs': proof(
    'a-03',
    '10 the connections',
    patch(connection, `(name === 'ping' && silentMs >= pongTimeoutMs)`, `(name === 'ping' && silentMs < 0)`),
  ),
  'sweep for silent sockets': proof(
    'a-03',
    '10 nothing passes',
    patch(hub, `if (silentMs !== null && silentMs > silentLimitMs)`, `if (silentMs !== null && silentMs < 0)`),
  ),
  'a log that wakes knows its line': proof(
    'a-03',
    '15 the objects',
    patch(taskLog, 'const line = kept === undefined ? null : openLine(kept)', 'const line = null'),
    patch(taskLog, 'const effects = lines.filter((each) => each !== kept)', 'const effects = lines.filter(() => false)'),
  ),
  'dialling again after a suspension': proof('a-03', '40 ', dialledAgain),
  'first reason wins': proof('a-04', '36 ', patch(supervisor, `"$r_why" exit.next`, 'exited exit.next')),
  'cancel request told at every connection': proof(
    'a-04',
    '37 a cancel comes while',
    patch(taskLog, `const pending = durable.cancel !== null && result === null ?`, 'const pending = durable.cancel === undefined ?'),
  ),
  'cancel request told to an attempt that begins': proof(
    'a-04',
    '37 a cancel comes for',
    patch(taskLog, `const pending = durable.cancel !== null && result === null ?`, 'const pending = durable.cancel === undefined ?'),
  ),
  KILL: proof('a-04', '38 ', patch(supervisor, 'r_sig=KILL\n', 'r_sig=TERM\n')),
  'tag of an attempt': proof(
    'a-04',
    '35 ',
    patch(supervisor, `r_tag="^RDEV_ATTEMPT=$r_task\\\\.$r_number\\$"`, `r_tag='^RDEV_ATTEMPT=none$'`),
  ),
}
