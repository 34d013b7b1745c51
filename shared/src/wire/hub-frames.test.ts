import { expect, test } from 'vitest'
import { decodeFrame } from './codec.ts'
import { hubDownSchema, hubUpSchema } from './hub-frames.ts'
import { oldestProtocolVersion, protocolVersion, speaksProtocol } from './version.ts'

const task_id = 'task_01jzzzzzzzzzzzzzzzzzzzzzzz'
const up = (frame: object) => decodeFrame(hubUpSchema, JSON.stringify(frame))
const down = (frame: object) => decodeFrame(hubDownSchema, JSON.stringify(frame))
const pod = {
  name: 'demo',
  uid: 'u',
  role: 'project',
  project_id: 'demo',
  ready: true,
  slots: 1,
  providers: [],
  allow_bypass_permissions: false,
}
const hello = {
  type: 'hello',
  protocol: 1,
  agent_version: '1',
  instance: 'instance-1',
  agent_time: 0,
  pods: [pod],
  attempts: [{ task_id, attempt: 1, pod: 'demo', state: 'running' }],
}
/** As hubs of protocol 1 send it. */
const assignment = {
  task_id,
  attempt: 1,
  project_id: 'demo',
  pod: 'demo',
  kind: 'shell',
  provider: null,
  prompt: null,
  command: 'true',
  model: null,
  allowed_tools: null,
  permission_mode: null,
  working_dir: null,
  env: {},
  timeout_s: 1,
  idle_timeout_s: null,
  deltas: false,
  fail_on_denied: false,
  session_id: null,
  provider_session_id: null,
  token: 't',
}

test('unknown fields of a newer end are ignored', () => {
  const said = { ...hello, mood: 'fine', pods: [{ ...pod, colour: 'red' }], attempts: [{ ...hello.attempts[0], since: 5 }] }
  expect(up(said)).toEqual({ ok: true, frame: hello })
  expect(down({ type: 'sync', why: 'restart' })).toEqual({ ok: true, frame: { type: 'sync' } })
  expect(down({ type: 'assign', tasks: [{ ...assignment, pod_uid: null, workspace: null, hurry: true }] })).toEqual({
    ok: true,
    frame: { type: 'assign', tasks: [{ ...assignment, pod_uid: null, workspace: null }] },
  })
})

test('a pod may say why it is not ready, shortly', () => {
  const told = (detail: unknown) => up({ type: 'pods', pods: [{ ...pod, ready: false, detail }] })
  expect(told('it did not answer')).toMatchObject({ ok: true, frame: { pods: [{ detail: 'it did not answer' }] } })
  for (const detail of ['x'.repeat(201), 7, 'a\u0000b', '\ud800']) expect(told(detail)).toEqual({ ok: false, reason: 'malformed' })
})

test('frames of unknown types are distinguished from malformed ones, both ways', () => {
  for (const decode of [up, down]) {
    expect(decode({ type: 'weather', sunny: true })).toEqual({ ok: false, reason: 'unknown_type' })
    expect(decode({ sunny: true })).toEqual({ ok: false, reason: 'malformed' })
  }
})

test('an assignment of an older hub has no workspace', () => {
  expect(down({ type: 'assign', tasks: [assignment] })).toMatchObject({ ok: true, frame: { tasks: [{ pod_uid: null, workspace: null }] } })
})

test.each([
  ['a NUL in a project id', { project_id: 'de\u0000mo' }],
  ['a NUL in a name', { name: '\u0000' }],
  ['a lone surrogate in a uid', { uid: 'u\ud800' }],
])('a pod with %s is malformed, because no column can hold it', (_, more) => {
  expect(up({ ...hello, pods: [{ ...pod, ...more }] })).toEqual({ ok: false, reason: 'malformed' })
  expect(up({ type: 'pods', pods: [{ ...pod, ...more }] })).toEqual({ ok: false, reason: 'malformed' })
})

test('a start at an instant that no column can hold is malformed', () => {
  const accepted = (started_at: number) => up({ type: 'accepted', attempts: [{ task_id, attempt: 1, started_at }] })
  expect(accepted(1_790_000_000_000).ok).toBe(true)
  for (const started_at of [-1, 8_640_000_000_000_001, Number.MAX_SAFE_INTEGER]) {
    expect(accepted(started_at)).toEqual({ ok: false, reason: 'malformed' })
  }
})

test('an unknown reason of a newer agent counts as start_failed', () => {
  const rejected = (reason: string) => up({ type: 'rejected', attempts: [{ task_id, attempt: 1, reason }] })
  expect(rejected('floor')).toMatchObject({ ok: true, frame: { attempts: [{ reason: 'floor' }] } })
  expect(rejected('moon_is_full')).toMatchObject({ ok: true, frame: { attempts: [{ reason: 'start_failed' }] } })
})

test('versions from the oldest to our own are understood', () => {
  expect([oldestProtocolVersion - 1, oldestProtocolVersion, protocolVersion, protocolVersion + 1, Number.NaN].map(speaksProtocol)).toEqual([
    false,
    true,
    true,
    false,
    false,
  ])
})

test('resources of unknown kinds pass, so that either end can be newer', () => {
  const desired = { type: 'desired', version: 3, resources: [{ kind: 'garden', name: 'roses', spec: { red: 5 } }] }
  expect(down(desired)).toEqual({ ok: true, frame: desired })
  const observed = (state: string) =>
    up({ type: 'observed', version: 3, resources: [{ kind: 'garden', name: 'roses', state, detail: null }] })
  expect(observed('unsupported')).toMatchObject({ ok: true, frame: { resources: [{ state: 'unsupported' }] } })
  expect(observed('blooming')).toMatchObject({ ok: true, frame: { resources: [{ state: 'pending' }] } })
  expect(down({ ...desired, version: -1 })).toEqual({ ok: false, reason: 'malformed' })
  expect(down({ ...desired, resources: [{ kind: 'garden', spec: {} }] })).toEqual({ ok: false, reason: 'malformed' })
})
