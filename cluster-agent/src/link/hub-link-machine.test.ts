import { expect, test } from 'vitest'
import type { Pod } from '@rdev/shared/domain/pod'
import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import type { HubDown } from '@rdev/shared/wire/hub-frames'
import { hubUpSchema } from '@rdev/shared/wire/hub-frames'
import { protocolVersion } from '@rdev/shared/wire/version'
import type { LinkEffect, LinkInput, LinkState } from './hub-link-machine.ts'
import { helloEveryMs, newLink, stepLink } from './hub-link-machine.ts'

const ref = { task_id: 'task_01jzzzzzzzzzzzzzzzzzzzzzzz', attempt: 1 }
const pod: Pod = {
  name: 'demo',
  uid: 'u1',
  role: 'project',
  project_id: 'demo',
  ready: true,
  slots: 1,
  providers: [],
  allow_bypass_permissions: false,
}
const about = { version: '1', instance: 'instance-1', wallMs: 5 }
const welcome: HubDown = { type: 'welcome', epoch: 3, server_time: 0, adopt: [], stop: [ref] }

function setup() {
  let state: LinkState = newLink
  let effects: readonly LinkEffect[] = []
  let now = 100_000
  const feed = (input: LinkInput) => {
    ;({ state, effects } = stepLink(state, input, { now, random: 0 }))
    return effects
  }
  const gathered = (gathering = state.gathering) => feed({ type: 'gathered', gathering, pods: [pod], attempts: [], about })
  return {
    feed,
    gathered,
    frame: (frame: HubDown) => feed({ type: 'frame', frame }),
    welcomed: () => {
      feed({ type: 'opened' })
      gathered()
      return feed({ type: 'frame', frame: welcome })
    },
    wait: (ms: number) => {
      now += ms
    },
    get state() {
      return state
    },
  }
}
const sentTypes = (effects: readonly LinkEffect[]) => effects.flatMap((effect) => (effect.type === 'send' ? [effect.frame.type] : []))

test('open, gather, hello, welcome', () => {
  const it = setup()
  expect(it.feed({ type: 'opened' })).toEqual([{ type: 'gather', gathering: 1 }])
  expect(it.gathered()).toMatchObject([
    { type: 'send', frame: { type: 'hello', protocol: protocolVersion, instance: 'instance-1', pods: [pod] } },
  ])
  expect(it.frame(welcome)).toEqual([{ type: 'confirmed' }, { type: 'welcome', epoch: 3, adopt: [], stop: [ref] }])
  expect(it.state).toMatchObject({ phase: 'welcomed', epoch: 3 })
})

test('what was gathered for an earlier connection is not sent on this one', () => {
  const it = setup()
  it.feed({ type: 'opened' })
  it.feed({ type: 'lost' })
  expect(it.gathered(1)).toEqual([])
  it.feed({ type: 'opened' })
  expect(it.gathered(1)).toEqual([])
  expect(sentTypes(it.gathered(2))).toEqual(['hello'])
  expect(it.gathered(2)).toEqual([])
})

test('what happens while the pods are asked is sent after the hello; it is dropped when the connection is lost', () => {
  const it = setup()
  it.feed({ type: 'opened' })
  expect(it.feed({ type: 'accepted', ref, startedAt: 1 })).toEqual([])
  expect(it.feed({ type: 'finished', ref })).toEqual([])
  expect(sentTypes(it.gathered())).toEqual(['hello', 'accepted', 'finished'])
  it.feed({ type: 'lost' })
  expect(it.feed({ type: 'accepted', ref, startedAt: 1 })).toEqual([])
  it.feed({ type: 'opened' })
  expect(sentTypes(it.gathered())).toEqual(['hello'])
})

test('each sync makes the link gather and send a hello at once', () => {
  const it = setup()
  it.welcomed()
  expect(it.frame({ type: 'sync' })).toEqual([{ type: 'gather', gathering: 2 }])
  expect(it.frame({ type: 'sync' })).toEqual([])
  // This welcome answers the earlier hello.
  expect(it.frame(welcome)).toMatchObject([{ type: 'confirmed' }, { type: 'welcome' }])
  expect(it.state.phase).toBe('gathering')
  expect(sentTypes(it.gathered())).toEqual(['hello'])
})

test('a changed inventory is sent as it is; a new pod causes a hello that lists its attempts', () => {
  const it = setup()
  expect(it.feed({ type: 'pods', pods: [pod], unlisted: false })).toEqual([])
  it.welcomed()
  expect(sentTypes(it.feed({ type: 'pods', pods: [pod], unlisted: false }))).toEqual(['pods'])
  it.wait(helloEveryMs)
  expect(it.feed({ type: 'pods', pods: [pod], unlisted: true })).toMatchObject([{ type: 'gather' }])
})

test('hellos that the agent wants by itself are at least two seconds apart, and none is forgotten', () => {
  const it = setup()
  it.welcomed()
  expect(it.feed({ type: 'hello' })).toEqual([{ type: 'hello_timer', inMs: helloEveryMs }])
  expect(it.feed({ type: 'hello' })).toEqual([])
  it.wait(helloEveryMs)
  expect(it.feed({ type: 'hello_due' })).toMatchObject([{ type: 'gather' }])
  expect(it.feed({ type: 'hello' })).toEqual([])
  it.gathered()
  expect(it.frame(welcome)).toContainEqual({ type: 'hello_timer', inMs: helloEveryMs })
  expect(it.feed({ type: 'hello_due' })).toMatchObject([{ type: 'gather' }])
  it.gathered()
  it.frame(welcome)
  expect(it.feed({ type: 'hello_due' })).toEqual([])
})

test('without a connection no pod is asked and nothing is sent', () => {
  const it = setup()
  expect(it.feed({ type: 'hello' })).toEqual([])
  expect(it.feed({ type: 'hello_due' })).toEqual([])
  expect(it.feed({ type: 'heartbeat', attempts: [ref], wallMs: 1 })).toEqual([])
  expect(it.frame(welcome)).toEqual([])
})

test('an assignment reaches the runner also while draining; the drain is sent once on each connection', () => {
  const it = setup()
  it.welcomed()
  expect(sentTypes(it.feed({ type: 'drain' }))).toEqual(['drain'])
  expect(it.feed({ type: 'drain' })).toEqual([])
  expect(it.frame({ type: 'assign', tasks: [] })).toEqual([{ type: 'assign', tasks: [] }])
  it.feed({ type: 'lost' })
  it.feed({ type: 'opened' })
  expect(sentTypes(it.gathered())).toEqual(['hello', 'drain'])
})

test('a drain that begins while the pods are asked is sent once', () => {
  const it = setup()
  it.feed({ type: 'opened' })
  it.feed({ type: 'drain' })
  expect(sentTypes(it.gathered())).toEqual(['hello', 'drain'])
})

test('a rejection carries its reason and a bounded detail', () => {
  const it = setup()
  it.welcomed()
  const [effect] = it.feed({ type: 'rejected', ref, reason: 'start_failed', detail: 'x'.repeat(5000) })
  expect(effect).toMatchObject({ frame: { type: 'rejected', attempts: [{ ...ref, reason: 'start_failed', detail: 'x'.repeat(2000) }] } })
})

test('desired resources are handed on and observed ones are sent; alive needs no answer', () => {
  const it = setup()
  it.welcomed()
  const desired = { version: 4, resources: [{ kind: 'pool', name: 'main', spec: { size: 2 } }] }
  expect(it.frame({ type: 'desired', ...desired })).toEqual([{ type: 'desired', desired }])
  const observed = { version: 4, resources: [{ kind: 'pool', name: 'main', state: 'ready' as const, detail: null }] }
  expect(it.feed({ type: 'observed', observed })).toEqual([{ type: 'send', frame: { type: 'observed', ...observed } }])
  expect(it.frame({ type: 'alive', server_time: 1 })).toEqual([])
  expect(sentTypes(it.feed({ type: 'heartbeat', attempts: [ref], wallMs: 1 }))).toEqual(['heartbeat'])
})

const sent = (effects: readonly LinkEffect[]) => effects.flatMap((effect) => (effect.type === 'send' ? [effect.frame] : []))

test('an inventory and a heartbeat that one frame could not hold are told in several, which a hub takes', () => {
  const it = setup()
  const pods = Array.from({ length: 4_000 }, (_, i) => ({ ...pod, name: `pod-${'x'.repeat(200)}-${i}`, ready: false, detail: 'silent' }))
  const attempts = Array.from({ length: 20_000 }, (_, i) => ({
    ...ref,
    attempt: i + 1,
    pod: pods[i % 4_000]!.name,
    state: 'running' as const,
  }))
  it.feed({ type: 'opened' })
  it.feed({ type: 'pods', pods, unlisted: false })
  const frames = sent(it.feed({ type: 'gathered', gathering: 1, pods, attempts, about }))
  it.frame(welcome)
  const beats = sent(it.feed({ type: 'heartbeat', attempts, wallMs: 5 }))
  for (const frame of [...frames, ...beats]) {
    const text = encodeFrame(frame)
    expect(Buffer.byteLength(text)).toBeLessThan(512 * 1024)
    expect(decodeFrame(hubUpSchema, text)).toMatchObject({ ok: true })
  }
  const hellos = frames.flatMap((frame) => (frame.type === 'hello' ? [frame] : []))
  expect(hellos.flatMap((frame) => frame.pods)).toEqual(pods)
  expect(hellos.flatMap((frame) => frame.attempts)).toEqual(attempts)
  expect(hellos.map(({ part, parts }) => [part, parts])).toEqual(hellos.map((_, i) => [i + 1, hellos.length]))
  // The inventory that changed meanwhile follows, whole, in parts of its own.
  const later = frames.slice(hellos.length).flatMap((frame) => (frame.type === 'pods' ? [frame] : []))
  expect(later.flatMap((frame) => frame.pods)).toEqual(pods)
  expect(later.map(({ part, parts }) => [part, parts])).toEqual(later.map((_, i) => [i + 1, later.length]))
  expect(beats.flatMap((frame) => (frame.type === 'heartbeat' ? frame.attempts : []))).toHaveLength(20_000)
})

test('a small inventory is one frame, as older hubs take it', () => {
  const it = setup()
  it.feed({ type: 'opened' })
  for (const frame of sent(it.gathered())) expect(Object.keys(frame)).not.toContain('part')
})
