// A real stack with restricted pods, one for each scenario of a file, so that scenarios run side by side. The processes report to a ledger over
// TCP, which rdev does not know and which survives the pods.

import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { expect } from 'vitest'
import type { TaskEvent } from '@rdev/shared/domain/event'
import type { TaskView } from '@rdev/shared/api/tasks'
import { isWhole, outputOf, setup as startLine, teardown, until } from '../../setup.ts'
import type { Bundle } from '../../setup.ts'
import { createClusterPods, nodeAddress } from '../../cluster/pods.ts'
import type { ClusterPods, ProjectPod } from '../../cluster/pods.ts'
import { repository } from '../../../dev/bundle.ts'
import { bundleWithout } from '../bundle-without.ts'
import { withoutVariable } from '../without.ts'
import { apiRelay } from './api-relay.ts'
import type { ApiRelay } from './api-relay.ts'

export interface Scene extends AsyncDisposable {
  readonly stack: Bundle
  readonly pods: ClusterPods
  /** Between the agent and the API server. */
  readonly relay: ApiRelay
  /** Creates a shell task in this pod. Its command may use `note WORD` (or `bash -c "$NOTE" WORD`), which returns when the ledger has the word. */
  start(pod: string, command: string, more?: Readonly<Record<string, unknown>>): Promise<string>
  /** Resolves when the task's output in its log contains this. */
  printed(id: string, text: string): Promise<void>
  /** Resolves when the ledger has this word of the task's first attempt. */
  noted(id: string, word: string): Promise<void>
  /** Lets processes of the task go on that wait in `note wait`. */
  release(id: string): void
  /** The words that the processes of a task noted, in order, as `<attempt> <word>`. */
  notes(id: string): readonly string[]
  /** The ended task and its whole log, which is checked: numbered without a gap, one end, the same in both ways of reading. */
  end(id: string): Promise<{ readonly task: TaskView; readonly events: TaskEvent[]; readonly stdout: string }>
  status(id: string): Promise<string>
  /** The types of the events that the log has now. */
  events(id: string): Promise<readonly string[]>
}

export async function setup(namespace: string, projects: Readonly<Record<string, ProjectPod>>): Promise<Scene> {
  if (!process.env.KUBECONFIG)
    throw new Error('The cluster suite needs KUBECONFIG; e2e/cluster/up.sh brings a cluster up and says how to run it')
  const ledger = await startLedger()
  const directory = await mkdtemp(`${tmpdir()}/rdev-chaos-cluster-`)
  let pods: ClusterPods | undefined
  let relay: ApiRelay | undefined
  let stack: Bundle | undefined
  const close = async (): Promise<void> => {
    await teardown(stack)
    await relay?.[Symbol.asyncDispose]()
    await pods?.remove()
    await ledger.close()
    await rm(directory, { recursive: true, force: true })
  }
  try {
    const without = process.env[withoutVariable] ?? ''
    stack = await startLine({
      ...(without !== '' && {
        bundle: (outFile) => bundleWithout(without, outFile),
        agentMain: `${repository}e2e/chaos/agent-main.ts`,
        agentEnv: { [withoutVariable]: without },
      }),
      projects: Object.keys(projects),
      podHost: async () => {
        pods = await createClusterPods({ namespace, projects })
        relay = await apiRelay(pods.agentKubeConfig)
        await writeFile(`${directory}/config`, relay.kubeConfig.exportConfig(), { mode: 0o600 })
        return { ...pods.agentEnv, KUBECONFIG: `${directory}/config` }
      },
    })
  } catch (error) {
    await close()
    throw error
  }
  if (!pods || !relay) throw new Error('the stack came up without pods')
  const { client } = stack
  const line = stack

  return {
    stack,
    pods,
    relay,
    async start(pod, command, more = {}) {
      const note = `export NOTE='exec 3<>/dev/tcp/${nodeAddress}/${ledger.port}; echo "$RDEV_ATTEMPT $0" >&3; read -r _ <&3'; note() { bash -c "$NOTE" "$1"; }`
      const { id } = await client.task({ kind: 'shell', project_id: pod, command: `${note}; note started; ${command}`, ...more })
      return id
    },
    printed: async (id, text) => {
      const events: TaskEvent[] = []
      await until(line, id, (event) => events.push(event) > 0 && outputOf(events).includes(text))
    },
    noted: (id, word) => ledger.until(`${id}.1 ${word}`),
    release: (id) => ledger.release(`${id}.1 wait`),
    notes: (id) => ledger.lines.filter((entry) => entry.startsWith(`${id}.`)).map((entry) => entry.slice(id.length + 1)),
    async end(id) {
      const task = await finishedIn(endMs, id, client.finished(id))
      const events: TaskEvent[] = []
      for await (const event of client.events(id, { resume: true })) events.push(event)
      expect(isWhole(events), line.printed.join('')).toBe(true)
      expect(events.at(-1)?.data).toMatchObject({ status: task.status })
      // No attempt was started twice, however often a shell was cut or a question repeated.
      const starts = ledger.lines.filter((entry) => entry.startsWith(`${id}.`) && entry.endsWith(' started'))
      expect(new Set(starts).size).toBe(starts.length)
      return { task, events, stdout: outputOf(events) }
    },
    events: async (id) => (await client.json<{ data: TaskEvent[] }>('GET', `/v1/tasks/${id}/events`)).data.map(({ type }) => type),
    status: async (id) => (await client.json<TaskView>('GET', `/v1/tasks/${id}`)).status,
    [Symbol.asyncDispose]: close,
  }
}

/** The longest wait, also on a busy computer. The pings that find a frozen exec take half a minute. */
const endMs = 120_000

async function finishedIn(ms: number, id: string, end: Promise<TaskView>): Promise<TaskView> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`task ${id} was accepted and has no end after ${ms / 1000} s`)), ms)
  })
  return await Promise.race([end, late]).finally(() => clearTimeout(timer))
}

/** The ledger's server: each connection sends one line of text, which is answered when it is written. */
async function startLedger() {
  const lines: string[] = []
  const held = new Map<string, () => void>()
  const waiting = new Set<() => void>()
  const server = createServer((socket) => {
    let text = ''
    socket.on('error', () => {})
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part
      if (!text.endsWith('\n')) return
      const line = text.trimEnd()
      const answer = (): void => void socket.end('kept\n')
      if (line.endsWith(' wait')) held.set(line, answer)
      else answer()
      lines.push(line)
      for (const look of waiting) look()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, nodeAddress, resolve))
  return {
    lines,
    port: (server.address() as AddressInfo).port,
    release: (line: string) => held.get(line)?.(),
    until: (line: string) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (!lines.includes(line)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}

/** `count` numbered lines, `pauseS` apart. */
export const counting = (count: number, pauseS = 0.1): string => `for i in $(seq ${count}); do echo "line $i"; sleep ${pauseS}; done`
export const counted = (count: number): string => Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join('')
