// A real stack whose programs are connected through proxies, a ledger that the tasks sign, and the judge.
import type { TaskEvent } from '@rdev/shared/domain/event'
import type { TaskView } from '@rdev/shared/api/tasks'
import { repository } from '../../dev/bundle.ts'
import { createClient } from '../../dev/client.ts'
import type { Client } from '../../dev/client.ts'
import type { Child } from '../../dev/child.ts'
import type { AgentOptions, StackOptions } from '../../dev/stack.ts'
import { processesWith, setup as setupStack, teardown as teardownStack } from '../setup.ts'
import type { Bundle as StackBundle } from '../setup.ts'
import { bundleWithout } from './bundle-without.ts'
import { judge } from './judge.ts'
import type { JudgeOptions, Verdict } from './judge.ts'
import { openLedger } from './ledger.ts'
import type { Ledger } from './ledger.ts'
import { startProxy } from './proxy.ts'
import type { Proxy } from './proxy.ts'
import { withoutVariable } from './without.ts'

export interface Chaos extends StackBundle {
  readonly ledger: Ledger
  /** Between agents and control plane. */
  readonly agentProxy: Proxy
  /** Between clients and control plane; `client` does not use it, `proxied` does. */
  readonly clientProxy: Proxy
  readonly proxied: Client
  /** Creates a task of a script, which the judge will check. It runs in the pool unless the body says otherwise. */
  script(script: string, body?: Record<string, unknown>): Promise<TaskView>
  /** Creates any task, which the judge will check. `unsigned`: its process does not sign the ledger. */
  accept(body: Record<string, unknown>, options?: { unsigned?: boolean }): Promise<TaskView>
  /** Reads a log to its end like EventSource: connects again with Last-Event-ID. The judge compares what it got. */
  follow(
    id: string,
    client?: Client,
  ): {
    readonly events: readonly TaskEvent[]
    readonly done: Promise<void>
    until(wanted: (event: TaskEvent) => boolean): Promise<TaskEvent>
  }
  /** Waits for all readers and tasks, then judges everything accepted since the last verdict. Throws an error with all violations. */
  verdict(options?: Partial<JudgeOptions>): Promise<Verdict>
  /** Starts an agent of the same cluster beside `agent`; `without` names the mechanisms that it does not have. */
  secondAgent(options?: AgentOptions & { readonly without?: string }): Promise<Child>
  /** SIGKILL to node and workerd at the same time, then a new control plane on the same storage. */
  restartControlPlane(): Promise<void>
  /** SIGKILL, then a new agent. Resolves when that is welcomed. */
  restartAgent(): Promise<void>
}

/** How long readers may take to the end; after it the judge says what is missing. */
const readersMs = 90_000
const agentMain = `${repository}e2e/chaos/agent-main.ts`

export async function setup(options: Partial<StackOptions> = {}): Promise<Chaos> {
  const without = process.env[withoutVariable] ?? ''
  let controlPlane = 0
  const toControlPlane = () => ({ port: controlPlane })
  const [ledger, agentProxy, clientProxy] = await Promise.all([openLedger(), startProxy(toControlPlane), startProxy(toControlPlane)])
  const closeOwn = async () => {
    await Promise.all([agentProxy[Symbol.asyncDispose](), clientProxy[Symbol.asyncDispose]()])
    await ledger[Symbol.asyncDispose]()
  }
  let stack: StackBundle
  try {
    stack = await setupStack({
      ...(without !== '' && { bundle: (outFile) => bundleWithout(without, outFile), agentMain }),
      ...options,
      agentEnv: { ...(without !== '' && { [withoutVariable]: without }), ...options.agentEnv },
      agentVia: async (url) => {
        controlPlane = Number(new URL(url).port)
        return agentProxy.url
      },
    })
  } catch (error) {
    await closeOwn()
    throw error
  }

  const accepted: string[] = []
  const unsigned = new Set<string>()
  const read = new Map<string, TaskEvent[][]>()
  const readers: Promise<void>[] = []
  let gone = new AbortController()

  const accept: Chaos['accept'] = async (body, { unsigned: free = false } = {}) => {
    const task = await stack.client.task(body)
    accepted.push(task.id)
    if (free) unsigned.add(task.id)
    return task
  }

  const follow: Chaos['follow'] = (id, client = stack.client) => {
    const events: TaskEvent[] = []
    const waiting = new Set<{ wanted: (event: TaskEvent) => boolean; found: (event: TaskEvent) => void }>()
    read.set(id, [...(read.get(id) ?? []), events])
    const done = (async () => {
      for await (const event of client.events(id, { resume: true, signal: gone.signal })) {
        events.push(event)
        for (const waiter of waiting) if (waiter.wanted(event)) waiter.found(event)
      }
    })()
    readers.push(done)
    return {
      events,
      done,
      until: (wanted) => {
        const seen = events.find(wanted)
        if (seen) return Promise.resolve(seen)
        const { promise, resolve } = Promise.withResolvers<TaskEvent>()
        waiting.add({ wanted, found: resolve })
        const ended = done.then(() => Promise.reject(new Error(`the log of ${id} ended without the event that was waited for`)))
        return Promise.race([promise, ended])
      },
    }
  }

  // The stack itself and not a copy, because its `agent`, `controlPlane` and `url` change.
  return Object.assign(stack, {
    ledger,
    agentProxy,
    clientProxy,
    get proxied() {
      return createClient(clientProxy.url, stack.adminKey)
    },
    accept,
    script: (script: string, body: Record<string, unknown> = {}) =>
      accept({ kind: 'shell', project_id: 'demo', target: 'pool', command: script, ...body }),
    follow,
    verdict: async (more: Partial<JudgeOptions> = {}) => {
      const { client } = stack
      const all = Promise.all(readers.splice(0)).then(() => true)
      const ended = await Promise.race([all, new Promise<false>((resolve) => setTimeout(() => resolve(false), readersMs))])
      if (!ended) {
        gone.abort()
        await all.catch(() => {})
        gone = new AbortController()
      }
      const waitMs = ended ? 60_000 : 0
      const verdict = await judge({ client, ledger, accepted: accepted.splice(0), read, unsigned, waitMs, ...more })
      read.clear()
      if (verdict.violations.length > 0) {
        const printed = process.env.RDEV_E2E_PRINT ? '' : stack.printed.slice(-60).join('')
        throw new Error(`the judge found:\n${verdict.violations.slice(0, 20).join('\n')}\n\n${printed}`)
      }
      return verdict
    },
    secondAgent: ({ without: lacks = without, ...more }: AgentOptions & { readonly without?: string } = {}) =>
      stack.addAgent({
        agentMain,
        ...more,
        agentEnv: { ...(lacks !== '' && { [withoutVariable]: lacks }), ...options.agentEnv, ...more.agentEnv },
      }),
    restartControlPlane: async () => {
      await stack.controlPlane.kill('SIGKILL')
      await stack.startControlPlane()
    },
    restartAgent: async () => {
      await stack.agent.kill('SIGKILL')
      // The hub may not have noticed the end of the old one, so the pods that it reports prove nothing.
      const welcome = agentProxy.on(({ type }) => type === 'welcome', 'pass')
      await stack.startAgent()
      await welcome.caught
      welcome.release()
    },
  }) satisfies Chaos
}

export async function teardown(chaos: Chaos | undefined): Promise<void> {
  if (!chaos) return
  await teardownStack(chaos)
  // Without a mechanism, processes of a task may be left. They are of this test alone, as their home shows.
  for (const pid of await processesWith(`HOME=${chaos.dataDirectory}/pods/`)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
  await Promise.all([chaos.agentProxy[Symbol.asyncDispose](), chaos.clientProxy[Symbol.asyncDispose]()])
  await chaos.ledger[Symbol.asyncDispose]()
}

/** Polls until a condition is true, where there is no signal. Throws if it is not in time. */
export async function eventually(look: () => Promise<boolean> | boolean, what: string, waitMs = 60_000): Promise<void> {
  for (const deadline = Date.now() + waitMs; !(await look());) {
    if (Date.now() > deadline) throw new Error(`not within ${waitMs / 1000} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
