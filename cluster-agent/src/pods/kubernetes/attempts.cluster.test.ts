// Attempts in real restricted pods while parts of the cluster are away: the output has no gap and no duplicate, the process is not touched, and
// the agent leaves nothing in the container.

import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { attemptName, newId } from '@rdev/shared/domain/ids'
import { startComponent, stopComponent, type Component } from '../../../../e2e/cluster/faults.ts'
import { createClusterPods, type ClusterPods, type ContainerProcess } from '../../../../e2e/cluster/pods.ts'
import type { AttemptDirectories } from '../../ports.ts'
import { createAttemptDirectories } from '../attempt-directories.ts'
import { createKubernetesHost } from './host.ts'

const namespace = 'rdev-test-attempts'
const pod = 'demo'
let pods: ClusterPods
beforeAll(async () => {
  pods = await createClusterPods({ namespace })
})
afterAll(async () => await pods?.remove())

interface Bundle extends AsyncDisposable {
  readonly directories: AttemptDirectories
  /** Starts a script in a new attempt and answers its name. */
  start(script: string): Promise<string>
  /** All of stdout, from the beginning to the end; `onText` gets what was read so far. */
  stdoutOf(name: string, onText?: (text: string) => Promise<void> | void): Promise<string>
}

function setup(): Bundle {
  const host = createKubernetesHost({ namespace, log: () => {}, kubeConfig: pods.agentKubeConfig })
  const directories = createAttemptDirectories(host, () => {})
  return {
    directories,
    async start(script) {
      const name = attemptName(newId('task', Date.now(), crypto.getRandomValues(new Uint8Array(10))), 1)
      expect(await directories.start(pod, name, { script, stdin: '', timeout_s: 120 })).toEqual({ outcome: 'started' })
      return name
    },
    async stdoutOf(name, onText) {
      let text = ''
      for await (const chunk of directories.follow(pod, name, { stdout: 0, stderr: 0 }, new AbortController().signal)) {
        if (chunk.stream !== 'stdout') continue
        expect(chunk.offset).toBe(text.length)
        text += chunk.bytes.toString('latin1')
        await onText?.(text)
      }
      return text
    },
    async [Symbol.asyncDispose]() {
      await directories.close()
      await host.close()
    },
  }
}

/** Numbered lines with the pid of the shell that prints them, which would show a second process. */
const counting = (lines: number): string => `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo "$$ $i"; sleep 0.05; done`
const counted = (text: string): { pids: Set<string>; numbers: number[] } => {
  const lines = text.trimEnd().split('\n')
  return { pids: new Set(lines.map((line) => line.split(' ')[0] ?? '')), numbers: lines.map((line) => Number(line.split(' ')[1])) }
}
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)

/** Resolves when nothing runs in the container except what `except` allows. */
async function empty(except: (process: ContainerProcess) => boolean = () => false): Promise<void> {
  for (;;) {
    const left = (await pods.processes(pod)).filter((process) => !except(process))
    if (left.length === 0) return
    await pause(100)
  }
}

test('after an attempt ended and its agent left, the container is empty', async () => {
  {
    await using bundle = setup()
    const name = await bundle.start('echo out; echo err >&2; sleep 0.2; exit 7')
    expect(await bundle.stdoutOf(name)).toBe('out\n')
    expect(await bundle.directories.ended(pod, name, new AbortController().signal)).toMatchObject({ exit_code: 7, reason: 'exited' })
    await bundle.directories.remove(pod, name)
  }
  await empty()
})

test('when a reader leaves, its follower ends and the process goes on', async () => {
  await using bundle = setup()
  const name = await bundle.start(counting(40))
  const abort = new AbortController()
  for await (const chunk of bundle.directories.follow(pod, name, { stdout: 0, stderr: 0 }, abort.signal)) {
    if (chunk.bytes.includes(' 5\n')) abort.abort()
  }
  for (;;) {
    const tails = (await pods.processes(pod)).filter(({ command }) => command.startsWith('tail'))
    if (tails.length === 0) break
    await pause(50)
  }
  const { numbers, pids } = counted(await bundle.stdoutOf(name))
  expect(numbers).toEqual(upTo(40))
  expect(pids.size).toBe(1)
})

test('a stop leaves no process, also none in a session of its own that ignores TERM', async () => {
  await using bundle = setup()
  const name = await bundle.start(
    `trap '' TERM INT; setsid sh -c 'trap "" TERM INT HUP; while :; do sleep 7777; done' & echo up; wait; sleep 8888`,
  )
  await bundle.stdoutOf(name, async (text) => {
    if (text.includes('up')) await bundle.directories.stop(pod, name, 1, 'cancelled')
  })
  expect(await bundle.directories.ended(pod, name, new AbortController().signal)).toMatchObject({ reason: 'cancelled' })
  const left = (await pods.processes(pod)).map(({ command }) => command)
  expect(left.filter((command) => /7777|8888/.test(command))).toEqual([])
  expect(await pods.processesWith(pod, `RDEV_ATTEMPT=${name}`)).toEqual([])
})

describe('without the', () => {
  test.each<[Component, string]>([
    ['apiserver', 'API server'],
    ['kubelet', 'kubelet'],
    ['containerd', 'containerd'],
  ])('%s for a while, a follower goes on where it was', async (component) => {
    await using bundle = setup()
    const name = await bundle.start(counting(120))
    let broken: Promise<void> | undefined
    const text = await bundle.stdoutOf(name, (soFar) => {
      if (soFar.includes(' 20\n')) broken ??= stopComponent(component).then(async () => await startComponent(component))
    })
    await broken
    const { numbers, pids } = counted(text)
    expect(numbers).toEqual(upTo(120))
    expect(pids.size).toBe(1)
    expect(await bundle.directories.ended(pod, name, new AbortController().signal)).toMatchObject({ exit_code: 0, reason: 'exited' })
    await bundle.directories.remove(pod, name)
  })

  test('API server, an attempt ends, and its end is known afterwards', async () => {
    await using bundle = setup()
    const name = await bundle.start('echo before; sleep 1; echo after; exit 4')
    const end = bundle.directories.ended(pod, name, new AbortController().signal)
    const text = await bundle.stdoutOf(name, async (soFar) => {
      if (soFar === 'before\n') await stopComponent('apiserver').then(async () => await startComponent('apiserver'))
    })
    expect(text).toBe('before\nafter\n')
    expect(await end).toMatchObject({ exit_code: 4, reason: 'exited', stdout_bytes: 13 })
  })
})

test('a deleted pod proves nothing to a follower, which goes on until it is aborted; the later pod has no attempts', async () => {
  await using bundle = setup()
  const name = await bundle.start(counting(10_000))
  const abort = new AbortController()
  const end = bundle.directories.ended(pod, name, abort.signal)
  const reached = Promise.withResolvers<void>()
  const reading = (async () => {
    for await (const chunk of bundle.directories.follow(pod, name, { stdout: 0, stderr: 0 }, abort.signal)) {
      if (chunk.bytes.includes(' 5\n')) reached.resolve()
    }
  })()
  await reached.promise
  await pods.delete(pod, 1)
  abort.abort()
  await reading
  expect(await end).toBeUndefined()
  await pods.create(pod)
  expect((await bundle.directories.list(pod)).attempts).toEqual([])
})
