// One stack for the suite, whose limits of minutes are seconds, and readers: public clients, each behind a proxy of its own that can cut it.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { repository } from '../../dev/bundle.ts'
import type { TextPatch } from '../../dev/text-patch.ts'
import { bundleWith } from '../chaos/bundle-without.ts'
import { startProxy } from '../chaos/proxy.ts'
import type { Proxy } from '../chaos/proxy.ts'
import type { Client as ApiClient } from '../../dev/client.ts'
import { setup as setupStack } from '../setup.ts'
import type { Bundle } from '../setup.ts'
import { buildGoReaders, goClient } from './go-clients.ts'
import type { GoClient } from './go-clients.ts'
import { likePage, npmClients } from './npm-clients.ts'
import type { Message, Reading } from './reading.ts'

/** A stream's 10 minutes are 8 s, a ticket's minute as well; the key is looked at each second. */
const hasty: Readonly<Record<string, TextPatch>> = {
  'control-plane/src/routes/event-stream.ts': {
    find: '{ heartbeatMs: 9_000, rotateMs: 600_000, drainMs: 30_000, recheckMs: 45_000 }',
    put: '{ heartbeatMs: 500, rotateMs: 8_000, drainMs: 30_000, recheckMs: 1_000 }',
  },
  'control-plane/src/usecases/issue-ticket.ts': { find: 'ticketLifeMs = 60_000', put: 'ticketLifeMs = 8_000' },
}

export interface Reader extends Reading {
  readonly name: string
  readonly messages: readonly Message[]
  readonly proxy: Proxy
  /** The ticket's URL and end; undefined for the bearer of a key. */
  readonly ticket: Ticket | undefined
  /** Resolves when so many messages satisfy `wanted`. Rejects when the client reads no more. */
  until(wanted: (message: Message) => boolean, count?: number): Promise<void>
}

interface Ticket {
  readonly url: string
  readonly expires_at: string
}

export interface Readers extends Bundle {
  /** Lets clients read a task, each through a proxy of its own. `by`: a key, or a ticket that is made with it. */
  read(taskId: string, names: readonly string[], by: 'key' | 'ticket', client?: ApiClient): Promise<readonly Reader[]>
}

export async function setup(): Promise<Readers> {
  const dataDirectory = await mkdtemp(`${tmpdir()}/rdev-readers-`)
  const patches = new Map(Object.entries(hasty).map(([file, patch]) => [repository + file, [patch]]))
  // The first build on a machine takes both processors for a while. Nothing is read meanwhile.
  const [stack, program] = await Promise.allSettled([
    setupStack({ dataDirectory, bundle: (outFile) => bundleWith(patches, outFile) }),
    buildGoReaders(dataDirectory),
  ])
  if (stack.status === 'rejected') throw stack.reason
  const page = likePage()
  const { value: bundle } = stack
  const opened: Reader[] = []

  async function open(taskId: string, name: string, by: 'key' | 'ticket', client: ApiClient): Promise<Reader> {
    // Without Go, what reads in Go fails, and says what is missing.
    if (!(name in npmClients) && program.status === 'rejected') throw program.reason
    const read = npmClients[name] ?? goClient((program as PromiseFulfilledResult<string>).value, name as GoClient)
    const proxy = await startProxy(() => ({ port: Number(new URL(bundle.url).port) }))
    const ticket = by === 'ticket' ? await client.json<Ticket>('POST', `/v1/tasks/${taskId}/tickets`) : undefined
    const messages: Message[] = []
    const { promise: failure, reject: failed } = Promise.withResolvers<never>()
    failure.catch(() => {})
    let arrived = Promise.withResolvers<void>()
    const reading = read({
      url: proxy.url + (ticket?.url ?? `/v1/tasks/${taskId}/events`),
      key: ticket ? undefined : client.key,
      got: (message) => {
        messages.push(message)
        arrived.resolve()
        arrived = Promise.withResolvers<void>()
      },
      failed: (error) => failed(new Error(`${name} with a ${by}: ${error.message}`)),
    })
    const ended = Promise.race([reading.ended, failure])
    // A test that has failed before asks no more how it ended.
    ended.catch(() => {})
    const over = ended.then((status) => Promise.reject(new Error(`${name} with a ${by} was ended by ${status}`)))
    over.catch(() => {})
    const reader: Reader = {
      name: `${name} with a ${by}`,
      messages,
      proxy,
      ticket,
      ended,
      close: () => reading.close(),
      until: async (wanted, count = 1) => {
        while (messages.filter(wanted).length < count) await Promise.race([arrived.promise, over])
      },
    }
    opened.push(reader)
    return reader
  }

  const stopStack = bundle.stop
  return Object.assign(bundle, {
    read: (taskId: string, names: readonly string[], by: 'key' | 'ticket', client: ApiClient = bundle.client) =>
      Promise.all(names.map((name) => open(taskId, name, by, client))),
    stop: async () => {
      for (const reader of opened) reader.close()
      await Promise.all(opened.map(({ proxy }) => proxy[Symbol.asyncDispose]()))
      page.leave()
      await stopStack()
    },
  })
}
