import { expect, test } from 'vitest'
import { closeCodes, pingEveryMs, pongTimeoutMs } from '@rdev/shared/wire/limits'
import type { ReconnectEffect, ReconnectInput, ReconnectState } from './reconnecting-socket-machine.ts'
import {
  unconfirmedTimeoutMs,
  hastenEveryMs,
  healthyAfterMs,
  maxRetryAfterMs,
  newReconnect,
  staleDialMs,
  stepReconnect,
  supersededWaitMs,
  unsupportedWaitMs,
} from './reconnecting-socket-machine.ts'

/** A connection on a clock of its own; `random` is the upper end of every window. */
function setup(random = 0.999_999) {
  let state: ReconnectState = newReconnect
  let now = 1_000
  let effects: readonly ReconnectEffect[] = []
  const feed = (input: ReconnectInput) => {
    ;({ state, effects } = stepReconnect(state, input, { now, random }))
    return effects
  }
  const closed = (code = 1006, retryAfterMs: number | null = null) => feed({ type: 'closed', socket: state.socket, code, retryAfterMs })
  const timer = (name: 'dial' | 'ping' | 'unconfirmed') => feed({ type: 'timer', timer: name, socket: state.socket })
  return {
    feed,
    closed,
    timer,
    opened: () => feed({ type: 'opened', socket: state.socket }),
    confirm: () => feed({ type: 'confirmed' }),
    received: () => feed({ type: 'received', socket: state.socket }),
    wait: (ms: number) => {
      now += ms
    },
    /** Fails until the wait has reached its longest. */
    away: () => {
      feed({ type: 'dial' })
      for (let i = 0; i < 7; i++) {
        feed({ type: 'closed', socket: state.socket, code: 1006, retryAfterMs: null })
        if (i < 6) feed({ type: 'timer', timer: 'dial', socket: state.socket })
      }
    },
    hasten: (withinMs = 300) => feed({ type: 'hasten', withinMs }),
    delay: () => effects.find((effect) => effect.type === 'timer' && effect.timer === 'dial'),
    types: () => effects.map((effect) => effect.type),
    get state() {
      return state
    },
  }
}

test('it dials when told to; a second dial meanwhile changes nothing', () => {
  const it = setup()
  expect(it.feed({ type: 'dial' })).toEqual([{ type: 'dial', socket: 1 }])
  expect(it.feed({ type: 'dial' })).toEqual([])
  it.opened()
  expect(it.feed({ type: 'dial' })).toEqual([])
})

test('the first retry is immediate, then the window doubles up to 32 s and stays there', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  const delays: number[] = []
  for (let i = 0; i < 9; i++) {
    it.closed()
    const timer = it.delay()
    delays.push(timer?.type === 'timer' ? timer.inMs : -1)
    expect(it.timer('dial')).toEqual([{ type: 'dial', socket: it.state.socket }])
  }
  expect(delays).toEqual([0, 999, 1_999, 3_999, 7_999, 15_999, 31_999, 31_999, 31_999])
})

test('the delay is uniform inside of the window', () => {
  const it = setup(0.25)
  it.feed({ type: 'dial' })
  it.closed()
  it.timer('dial')
  it.closed()
  expect(it.delay()).toMatchObject({ inMs: 250 })
})

test('after a minute of a confirmed connection the waits start anew; after less, or without confirmation, they do not', () => {
  for (const [healthMs, confirmed, expected] of [
    [healthyAfterMs, true, 0],
    [healthyAfterMs - 1, true, 1_999],
    [healthyAfterMs, false, 1_999],
  ] as const) {
    const it = setup()
    it.feed({ type: 'dial' })
    it.closed()
    it.timer('dial')
    it.closed()
    it.timer('dial')
    it.opened()
    if (confirmed) it.confirm()
    it.wait(healthMs)
    it.closed()
    expect(it.delay()).toMatchObject({ inMs: expected })
  }
})

test('Retry-After is honoured, but not for ever', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  it.closed(closeCodes.tryAgain, 7_000)
  expect(it.delay()).toMatchObject({ inMs: 7_000 })
  it.timer('dial')
  it.closed(closeCodes.tryAgain, 10 * maxRetryAfterMs)
  expect(it.delay()).toMatchObject({ inMs: maxRetryAfterMs })
})

test('a superseded socket waits 30 s, even after a healthy connection', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  it.opened()
  it.confirm()
  it.wait(healthyAfterMs)
  it.closed(closeCodes.superseded)
  expect(it.delay()).toMatchObject({ inMs: supersededWaitMs })
})

test('pings go out, and a pong that is overdue ends the socket without a handshake', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  expect(it.opened()).toContainEqual({ type: 'timer', timer: 'ping', inMs: pingEveryMs, socket: 1 })
  it.confirm()
  it.wait(pingEveryMs)
  expect(it.timer('ping')).toEqual([
    { type: 'ping' },
    { type: 'timer', timer: 'ping', inMs: pongTimeoutMs - pingEveryMs, socket: it.state.socket },
  ])
  it.received()
  it.wait(pongTimeoutMs - pingEveryMs)
  expect(it.timer('ping')[0]).toEqual({ type: 'ping' })
  it.wait(pongTimeoutMs)
  expect(it.timer('ping').map((effect) => effect.type)).toEqual(['terminate', 'down', 'timer'])
  expect(it.state.phase).toBe('waiting')
})

test('after the computer was suspended the first timer gives the silent socket up', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  it.opened()
  it.confirm()
  it.wait(10 * 60_000)
  it.timer('ping')
  expect(it.types()).toContain('terminate')
})

test('a peer that does not confirm the connection in time is given up; one that did is not', () => {
  const silent = setup()
  silent.feed({ type: 'dial' })
  silent.opened()
  silent.wait(unconfirmedTimeoutMs)
  silent.timer('unconfirmed')
  expect(silent.types()).toEqual(['terminate', 'down', 'timer'])

  const polite = setup()
  polite.feed({ type: 'dial' })
  polite.opened()
  polite.confirm()
  polite.confirm()
  expect(polite.timer('unconfirmed')).toEqual([])
})

test('inputs of an earlier socket or timer are ignored', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  it.opened()
  it.closed()
  it.timer('dial')
  it.opened()
  const before = it.state
  for (const input of [
    { type: 'opened', socket: 1 },
    { type: 'closed', socket: 1, code: 1006, retryAfterMs: null },
    { type: 'received', socket: 1 },
    { type: 'timer', timer: 'ping', socket: 1 },
    { type: 'timer', timer: 'unconfirmed', socket: 1 },
    { type: 'timer', timer: 'dial', socket: 1 },
  ] as const) {
    expect(it.feed(input)).toEqual([])
    expect(it.state).toEqual(before)
  }
})

test('inputs that do not fit the phase change nothing', () => {
  const it = setup()
  expect(it.opened()).toEqual([])
  expect(it.confirm()).toEqual([])
  expect(it.received()).toEqual([])
  expect(it.closed()).toEqual([])
  expect(it.timer('dial')).toEqual([])
  expect(it.timer('ping')).toEqual([])
  expect(it.feed({ type: 'drop', code: 4400, reason: 'malformed' })).toEqual([])
  expect(it.state).toEqual(newReconnect)
})

test('a dropped connection is closed with the reason and dialled again', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  it.opened()
  expect(it.feed({ type: 'drop', code: 4409, reason: 'gap' })).toMatchObject([
    { type: 'close', code: 4409, reason: 'gap' },
    { type: 'down' },
    { type: 'timer', timer: 'dial', inMs: 0 },
  ])
})

test('a parked socket waits until it is told to dial, then dials without delay', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  it.closed(closeCodes.unauthorized)
  const due = it.state.socket
  expect(it.feed({ type: 'park', code: 1000, reason: 'waiting' })).toEqual([])
  expect(it.feed({ type: 'timer', timer: 'dial', socket: due })).toEqual([])
  expect(it.feed({ type: 'dial' })).toEqual([{ type: 'dial', socket: it.state.socket }])
  expect(it.feed({ type: 'park', code: 1000, reason: 'waiting' })).toEqual([{ type: 'close', code: 1000, reason: 'waiting' }])
})

test('a stopped socket never dials again', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  it.opened()
  expect(it.feed({ type: 'stop', code: 1000, reason: 'done' })).toEqual([{ type: 'close', code: 1000, reason: 'done' }])
  expect(it.feed({ type: 'dial' })).toEqual([])
  expect(it.timer('dial')).toEqual([])
})

test('a waiting socket dials when another connection is back, spread over the given time', () => {
  const it = setup(0.5)
  it.away()
  expect(it.hasten()).toEqual([{ type: 'timer', timer: 'dial', inMs: 150, socket: it.state.socket }])
  expect(it.timer('dial')).toEqual([{ type: 'dial', socket: it.state.socket }])
})

test('a socket that would dial sooner anyway keeps its time', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  it.closed()
  expect(it.delay()).toMatchObject({ inMs: 0 })
  expect(it.hasten()).toEqual([])
})

test('a peer that accepts and hangs up is not dialled in a loop: hasten works only every two seconds', () => {
  const it = setup()
  it.away()
  it.hasten(0)
  it.timer('dial')
  it.closed()
  expect(it.delay()).toMatchObject({ inMs: 31_999 })
  it.wait(hastenEveryMs - 1)
  expect(it.hasten(0)).toEqual([])
  it.wait(1)
  expect(it.hasten(0)).toEqual([{ type: 'timer', timer: 'dial', inMs: 0, socket: it.state.socket }])
})

test('a socket that was told to wait does so, also when another connection is back', () => {
  for (const [code, retryAfterMs] of [
    [closeCodes.superseded, null],
    [closeCodes.unsupportedProtocol, null],
    [closeCodes.unauthorized, null],
    [closeCodes.stale, null],
    [closeCodes.tryAgain, 5_000],
  ] as const) {
    const it = setup()
    it.away()
    it.timer('dial')
    it.closed(code, retryAfterMs)
    expect(it.hasten()).toEqual([])
    expect(it.state.phase).toBe('waiting')
  }
})

test('a dial that began before another connection was back is begun again if it hangs; its failure does not lengthen the wait', () => {
  const hung = setup()
  hung.away()
  hung.timer('dial')
  hung.wait(staleDialMs)
  expect(hung.hasten(0).map((effect) => effect.type)).toEqual(['terminate', 'timer'])
  expect(hung.timer('dial')).toEqual([{ type: 'dial', socket: hung.state.socket }])

  const fresh = setup()
  fresh.away()
  fresh.timer('dial')
  fresh.wait(1)
  expect(fresh.hasten(0)).toEqual([])
  fresh.closed()
  expect(fresh.delay()).toMatchObject({ inMs: 0 })
  fresh.timer('dial')
  fresh.closed()
  expect(fresh.delay()).toMatchObject({ inMs: 31_999 })
})

test('only a socket that is open again after a loss says recovered; an open, parked or stopped one ignores hasten', () => {
  const it = setup()
  expect(it.hasten()).toEqual([])
  it.feed({ type: 'dial' })
  expect(it.opened()).not.toContainEqual({ type: 'recovered' })
  expect(it.hasten()).toEqual([])
  it.closed()
  // Told to dial at once, as by a fresh token: it is back all the same.
  it.feed({ type: 'dial' })
  expect(it.opened()).toContainEqual({ type: 'recovered' })
  it.feed({ type: 'stop', code: 1000, reason: 'done' })
  expect(it.hasten()).toEqual([])
})

test('a socket whose protocol is not supported dials again only after a minute', () => {
  const it = setup()
  it.feed({ type: 'dial' })
  it.opened()
  it.closed(closeCodes.unsupportedProtocol)
  expect(it.delay()).toMatchObject({ inMs: unsupportedWaitMs })
})
