// Pods that are directories of this computer and child processes of this program. They are not isolated: for development and tests only.
// Shells end with this program, because their stdin ends. Attempts go on, because their supervisors have sessions of their own.

import { spawn } from 'node:child_process'
import { statSync, watch as watchFolder, type FSWatcher } from 'node:fs'
import { connect as connectTo } from 'node:net'
import { dirname } from 'node:path'
import type { Duplex } from 'node:stream'
import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import type { Pod, PodRole } from '@rdev/shared/domain/pod'
import type { PodHost, Shell } from '../../ports.ts'
import { shellArgv } from '../library.ts'

export interface LocalPod {
  readonly name: string
  readonly role: PodRole
  readonly project_id: string | null
  readonly slots: number
  /** The pod's home. It must exist for the pod to be ready. */
  readonly directory: string
  /** The environment of the pod's processes, besides HOME and PATH. Nothing is inherited from this program, which has secrets. */
  readonly env: Readonly<Record<string, string>>
  readonly allow_bypass_permissions: boolean
  readonly trust_repository_settings?: boolean | undefined
  readonly providers: readonly AgentProvider[]
}

export interface LocalHostOptions {
  readonly pods: readonly LocalPod[]
  /** PATH of the pods' processes, unless a pod's env has its own. */
  readonly path: string
}

const connectMs = 5_000
/** Folder events come in bursts, so they are collected for this long. */
const settleMs = 50

export function createLocalHost({ pods, path }: LocalHostOptions): PodHost {
  const byName = new Map(pods.map((pod) => [pod.name, pod]))
  const shells = new Set<Shell>()
  const watchers = new Set<FSWatcher>()
  const timers = new Set<NodeJS.Timeout>()
  let closed = false

  const known = (name: string): LocalPod => {
    const pod = byName.get(name)
    if (!pod) throw new Error(`no local pod is called ${name}`)
    return pod
  }

  function watch(onPods: (pods: readonly Pod[]) => void): void {
    let last = ''
    const look = (): void => {
      const now = pods.map(inventory)
      const text = JSON.stringify(now)
      if (closed || text === last) return
      last = text
      onPods(now)
    }
    let timer: NodeJS.Timeout | undefined
    const lookSoon = (): void => {
      if (timer) return
      timer = setTimeout(() => {
        timers.delete(timer!)
        timer = undefined
        look()
      }, settleMs)
      timers.add(timer)
    }
    for (const folder of new Set(pods.map((pod) => dirname(pod.directory)))) {
      try {
        watchers.add(watchFolder(folder, lookSoon).on('error', lookSoon))
      } catch {
        // A missing folder cannot be watched; its pods are reported as not ready.
      }
    }
    queueMicrotask(look)
  }

  return {
    kind: 'local',
    watch,
    async shell(name) {
      if (closed) throw new Error('the pod host is closed')
      const pod = known(name)
      const shell = await openShell(pod, path)
      shells.add(shell)
      void shell.closed.then(() => shells.delete(shell))
      return shell
    },
    async connect(name, port) {
      known(name)
      return connectLoopback(port)
    },
    async close() {
      closed = true
      for (const watcher of watchers) watcher.close()
      for (const timer of timers) clearTimeout(timer)
      for (const shell of shells) shell.destroy()
    },
  }
}

function inventory(pod: LocalPod): Pod {
  const { name, role, project_id, slots, directory, allow_bypass_permissions, trust_repository_settings, providers } = pod
  const stat = statSync(directory, { throwIfNoEntry: false })
  const ready = stat?.isDirectory() ?? false
  // A directory that was made again is a new pod, like a later pod of the same name in a cluster.
  const uid = ready && stat ? `${stat.dev}-${stat.ino}-${Math.round(stat.birthtimeMs)}` : 'absent'
  const trusted = trust_repository_settings === true ? { trust_repository_settings } : {}
  return { name, uid, role, project_id, ready, slots, providers, allow_bypass_permissions, ...trusted }
}

function openShell(pod: LocalPod, path: string): Promise<Shell> {
  const [program, ...args] = shellArgv
  const child = spawn(program!, args, {
    cwd: pod.directory,
    env: { PATH: path, ...pod.env, HOME: pod.directory },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const { stdin, stdout, stderr } = child
  const { promise: closed, resolve: close } = Promise.withResolvers<void>()
  child.on('close', () => close())
  const shell: Shell = {
    stdin,
    stdout,
    stderr,
    closed,
    // A cut, like that of a network, and not a kill: the shell finds the end of its stdin.
    destroy() {
      stdin.destroy()
      stdout.destroy()
      stderr.destroy()
      close()
    },
  }
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(shell))
    child.on('error', (cause) => {
      close()
      reject(new Error(`no shell in local pod ${pod.name}`, { cause }))
    })
  })
}

function connectLoopback(port: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connectTo({ host: '127.0.0.1', port, noDelay: true })
    const timer = setTimeout(() => socket.destroy(new Error(`no answer at port ${port} in ${connectMs} ms`)), connectMs)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', (cause) => {
      clearTimeout(timer)
      reject(cause)
    })
  })
}
