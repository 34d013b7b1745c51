// A TCP proxy on loopback that injects faults, one for each pair of programs. It can do what networks do: cut (RST or FIN), refuse, pass nothing
// with every socket open (in both directions, or one), delay, limit the rate. And what only a test can: stop at one frame, lose it, repeat it,
// cut inside it. Toxiproxy has most of the first and nothing of the second (it knows no frames), and it is not on npm.
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { PieceReader, textFrame } from './frames.ts'
import type { Piece } from './frames.ts'

/** `up`: from the side that dialled. */
export type Direction = 'up' | 'down'

export interface Frame {
  readonly direction: Direction
  /** The path of the request that opened the WebSocket. */
  readonly path: string
  readonly text: string
  /** The `type` of a JSON frame, else the text itself (`ping`, `pong`). */
  readonly type: string
  /** The number of this text frame in its connection, both directions together, from 1. */
  readonly number: number
}

export interface Which {
  readonly direction?: Direction
  readonly path?: RegExp
}

/**
 * `pass`: only look · `hold`: keep it and what follows in that direction until `release` · `drop`: lose it · `twice`: pass it two times ·
 * a number: pass that many bytes of it, then reset · a text: pass a frame of this text first.
 */
export type Fate = 'pass' | 'hold' | 'drop' | 'twice' | number | { readonly first: string }

export interface Catch {
  /** The first frame that was caught. */
  readonly caught: Promise<Frame>
  readonly count: number
  /** Passes on what is held, and catches nothing more. */
  release(fate?: 'pass' | 'drop'): void
}

export interface Proxy extends AsyncDisposable {
  readonly port: number
  readonly url: string
  /** The bytes since the start. Two equal readings show that nothing passed. */
  readonly counters: { connections: number; bytes: Record<Direction, number>; frames: Record<Direction, number> }
  /** The number of open connections. */
  readonly open: number
  /** The local ports of the proxy's own sockets to the target, of the connections with such a request. */
  farPorts(path: RegExp): number[]
  /** Ends the connections that are open now, and loses what is on its way; new ones pass. */
  cut(which?: { readonly path?: RegExp; readonly how?: 'reset' | 'end' }): number
  /** New connections are reset at once (the proxy keeps the port, so they are not refused); open ones stay. */
  refuse(): void
  accept(): void
  /**
   * Passes nothing more, also no end, and closes nothing. What waits is delivered after `release`, as by TCP. With `existing`, connections that are
   * made later pass, as with a lost NAT entry. Both directions: a half-open connection; one direction: a one-way partition.
   */
  hold(which?: Which & { readonly existing?: boolean }): { release(): void }
  /** Each piece (frame or chunk) waits so long, and up to `jitterMs` longer. The order is kept. */
  delay(ms: number, jitterMs?: number): void
  /** The limit of bytes a second in each direction; undefined: no limit. */
  slow(bytesPerSecond: number | undefined): void
  /** After so many bytes in that direction, resets the connection at exactly that byte. */
  cutAfter(bytes: number, which?: Which): Promise<void>
  /** Adds a rule for the next `times` (default 1) frames that match. The first rule that matches counts. */
  on(match: (frame: Frame) => boolean, fate: Fate, times?: number): Catch
}

interface Rule {
  readonly match: (frame: Frame) => boolean
  readonly fate: Fate
  left: number
  caught(frame: Frame): void
  released: Promise<'pass' | 'drop'>
}

interface Link {
  readonly near: Socket
  readonly far: Socket
  readonly up: PieceReader
  frames: number
  /** How many directions have ended. */
  ended: number
}

interface Hold {
  readonly which: Which
  readonly links: ReadonlySet<Link> | undefined
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
/** How much is held per direction before the sender has to wait. */
const maxQueuedBytes = 256 * 1024

export async function startProxy(target: () => { readonly port: number; readonly host?: string }): Promise<Proxy> {
  const links = new Set<Link>()
  const counters = { connections: 0, bytes: { up: 0, down: 0 }, frames: { up: 0, down: 0 } }
  let refusing = false
  let delayMs = 0
  let jitter = 0
  let rate: number | undefined
  let holds: Hold[] = []
  let rules: Rule[] = []
  let budget: { left: number; readonly which: Which; spent(): void } | undefined
  let wake = Promise.withResolvers<void>()
  const changed = () => {
    wake.resolve()
    wake = Promise.withResolvers<void>()
  }

  const fits = ({ direction, path }: Which, link: Link, way: Direction) =>
    (direction === undefined || direction === way) && (path === undefined || path.test(link.up.path))
  const isHeld = (link: Link, way: Direction) =>
    holds.some((hold) => fits(hold.which, link, way) && (hold.links === undefined || hold.links.has(link)))
  const end = (link: Link, how: 'reset' | 'end' = 'reset') => {
    links.delete(link)
    for (const socket of [link.near, link.far]) {
      if (how === 'end') socket.end(() => socket.destroy())
      else socket.resetAndDestroy()
    }
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    counters.connections++
    if (refusing) return void near.on('error', () => {}).resetAndDestroy()
    const { port, host = '127.0.0.1' } = target()
    const far = connect({ port, host, allowHalfOpen: true, noDelay: true })
    const link: Link = { near, far, up: new PieceReader('up'), frames: 0, ended: 0 }
    links.add(link)
    void carry(link, 'up', near, far, link.up)
    void carry(link, 'down', far, near, new PieceReader('down'))
  })

  /** Passes one direction of one connection, from the first byte to the end. */
  async function carry(link: Link, way: Direction, from: Socket, to: Socket, reader: PieceReader): Promise<void> {
    const queue: (Piece | 'end' | 'reset')[] = []
    let queued = 0
    let arrived = Promise.withResolvers<void>()
    const add = (item: Piece | 'end' | 'reset') => {
      queue.push(item)
      arrived.resolve()
    }
    from.on('data', (chunk: Buffer) => {
      for (const piece of reader.push(chunk)) {
        queued += piece.bytes.length
        add(piece)
      }
      if (queued > maxQueuedBytes) from.pause()
    })
    let ended = false
    from.on('end', () => {
      ended = true
      add('end')
    })
    from.on('error', () => {})
    from.on('close', () => ended || add('reset'))

    for (;;) {
      while (queue.length === 0) {
        await arrived.promise
        arrived = Promise.withResolvers<void>()
      }
      while (links.has(link) && isHeld(link, way)) await wake.promise
      if (!links.has(link)) return
      const item = queue.shift()!
      if (item === 'reset') return end(link)
      if (item === 'end') {
        to.end()
        if (++link.ended === 2) links.delete(link)
        return
      }
      queued -= item.bytes.length
      if (queued <= maxQueuedBytes) from.resume()
      if (delayMs + jitter > 0) await sleep(delayMs + Math.random() * jitter)
      if (!(await pass(link, way, item, to))) return
    }
  }

  /** Answers whether the connection goes on. */
  async function pass(link: Link, way: Direction, piece: Piece, to: Socket): Promise<boolean> {
    let fate: Fate = 'pass'
    if (piece.text !== undefined) {
      counters.frames[way]++
      const frame = frameOf(piece.text, way, link.up.path, ++link.frames)
      const rule = rules.find((one) => one.left > 0 && one.match(frame))
      if (rule) {
        rule.left--
        rule.caught(frame)
        fate = rule.fate === 'hold' ? await rule.released : rule.fate
        while (links.has(link) && isHeld(link, way)) await wake.promise
        if (!links.has(link)) return false
      }
    }
    if (fate === 'drop') return true
    let { bytes } = piece
    if (fate === 'twice') bytes = Buffer.concat([bytes, bytes])
    if (typeof fate === 'object') bytes = Buffer.concat([textFrame(fate.first, way === 'up'), bytes])
    let last = typeof fate === 'number'
    if (typeof fate === 'number') bytes = bytes.subarray(0, fate)
    if (budget && fits(budget.which, link, way)) {
      last ||= bytes.length >= budget.left
      bytes = bytes.subarray(0, budget.left)
      budget.left -= bytes.length
      if (last) {
        budget.spent()
        budget = undefined
      }
    }
    for (let at = 0; at < bytes.length;) {
      const size = rate === undefined ? bytes.length : Math.max(1, Math.ceil(rate / 20))
      const part = bytes.subarray(at, at + size)
      at += size
      counters.bytes[way] += part.length
      if (!to.write(part)) await Promise.race([once(to, 'drain'), once(to, 'close')])
      if (rate !== undefined) await sleep((part.length / rate) * 1000)
    }
    // The bytes that were passed must arrive; an immediate reset would overtake them.
    if (last) {
      await sleep(5)
      end(link)
    }
    return !last
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const cut: Proxy['cut'] = ({ path, how } = {}) => {
    const chosen = [...links].filter((link) => path === undefined || path.test(link.up.path))
    for (const link of chosen) end(link, how)
    changed()
    return chosen.length
  }

  return {
    port,
    url: `http://127.0.0.1:${port}`,
    counters,
    get open() {
      return links.size
    },
    farPorts: (path) => [...links].filter((link) => path.test(link.up.path)).flatMap(({ far }) => far.localPort ?? []),
    cut,
    refuse: () => void (refusing = true),
    accept: () => void (refusing = false),
    hold: ({ existing, ...which } = {}) => {
      const hold: Hold = { which, links: existing ? new Set(links) : undefined }
      holds.push(hold)
      return {
        release: () => {
          holds = holds.filter((other) => other !== hold)
          changed()
        },
      }
    },
    delay: (ms, jitterMs = 0) => {
      delayMs = ms
      jitter = jitterMs
    },
    slow: (bytesPerSecond) => void (rate = bytesPerSecond),
    cutAfter: (bytes, which = {}) =>
      new Promise((spent) => {
        budget = { left: bytes, which, spent }
      }),
    on: (match, fate, times = 1) => {
      const caught = Promise.withResolvers<Frame>()
      const released = Promise.withResolvers<'pass' | 'drop'>()
      const rule: Rule = { match, fate, left: times, caught: (frame) => caught.resolve(frame), released: released.promise }
      rules.push(rule)
      return {
        caught: caught.promise,
        get count() {
          return times - rule.left
        },
        release: (then = 'pass') => {
          rules = rules.filter((other) => other !== rule)
          released.resolve(then)
        },
      }
    },
    async [Symbol.asyncDispose]() {
      refusing = true
      const closed = new Promise((resolve) => server.close(resolve))
      cut()
      await closed
    },
  }
}

const once = (socket: Socket, event: 'drain' | 'close') => new Promise<void>((resolve) => socket.once(event, () => resolve()))

function frameOf(text: string, direction: Direction, path: string, number: number): Frame {
  // The encoder writes the type first, so the frame need not be parsed.
  const type = /^\{"type":"([a-z_]+)"/.exec(text)?.[1] ?? text.slice(0, 20)
  return { direction, path, text, type, number }
}

/** The agent's control socket, and the sockets of attempts. */
export const hubPath = /^\/v1\/clusters\//
export const linePath = /^\/v1\/tasks\//
