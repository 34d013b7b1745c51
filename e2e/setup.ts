// One real stack for a test file, in a directory of its own: workerd, PGlite, the agent with local pods, the scripted model.
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { TaskEvent } from '@rdev/shared/domain/event'
import type { TaskView } from '@rdev/shared/api/tasks'
import { createClient } from '../dev/client.ts'
import { startStack } from '../dev/stack.ts'
import type { Stack, StackOptions } from '../dev/stack.ts'

export interface Bundle extends Stack {
  /** Everything that the programs printed; a failing test shows it. */
  readonly printed: string[]
  /** Runs a task to its end. Answers the task and all its events, read as a stream. */
  run(body: Record<string, unknown>): Promise<{ task: TaskView; events: TaskEvent[] }>
}

export async function setup(options: Partial<StackOptions> = {}): Promise<Bundle> {
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(`${tmpdir()}/rdev-e2e-`))
  const printed: string[] = []
  const stack = await startStack({
    dataDirectory,
    port: 0,
    onLog: (text) => {
      printed.push(text)
      if (process.env.RDEV_E2E_PRINT) process.stderr.write(text)
    },
    ...options,
  })
  return Object.assign(stack, {
    printed,
    run: async (body: Record<string, unknown>) => {
      const { client } = stack
      const { id } = await client.task(body)
      const events = await collect(client.events(id, { resume: true }))
      return { task: await client.finished(id), events }
    },
  })
}

export async function teardown(bundle: Bundle | undefined): Promise<void> {
  if (!bundle) return
  await bundle.stop()
  await rm(bundle.dataDirectory, { recursive: true, force: true })
}

export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}

/** Reads until an event satisfies `wanted`, then closes the stream. Throws if the log ends before. */
export async function until(stack: Pick<Stack, 'client'>, id: string, wanted: (event: TaskEvent) => boolean): Promise<TaskEvent> {
  for await (const event of stack.client.events(id)) {
    if (wanted(event)) return event
  }
  throw new Error(`the log of ${id} ended without the event that was waited for`)
}

/** The text of all `output` events, in order. */
export const outputOf = (events: readonly TaskEvent[], stream = 'stdout'): string =>
  events
    .filter((event) => event.type === 'output' && event.data.stream === stream)
    .map((event) => String(event.data.text))
    .join('')

export const typesOf = (events: readonly TaskEvent[]): string[] => events.map((event) => event.type)

/** Checks that events are numbered 1…n without gap or duplicate, and that the only task.finished is the last. */
export function isWhole(events: readonly TaskEvent[]): boolean {
  return (
    events.length > 0 &&
    events.every((event, index) => event.seq === index + 1 && (event.type === 'task.finished') === (index === events.length - 1))
  )
}

/** Pids of this machine's processes whose environment or command line holds `text`; this process is not counted. */
export async function processesWith(text: string): Promise<number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue
    const [environment, commandLine] = await Promise.all(
      ['environ', 'cmdline'].map((file) => readFile(`/proc/${name}/${file}`, 'latin1').catch(() => '')),
    )
    if (environment?.includes(text) || commandLine?.includes(text)) found.push(Number(name))
  }
  return found
}

/** A client with a key of these rights. */
export async function withKey(stack: Pick<Stack, 'client' | 'url'>, rights: Record<string, unknown>) {
  const { key, id } = await stack.client.json<{ key: string; id: string }>('POST', '/v1/keys', { name: 'test', ...rights })
  return { id, client: createClient(stack.url, key) }
}
