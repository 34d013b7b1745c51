// Faults of the cluster's own components, by the throw-away cluster's script. Without the script (a KUBECONFIG of another cluster) what asks
// for one fails.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const home = process.env.RDEV_KUBE_HOME ?? '/var/tmp/rdev-kube'
const script = process.env.RDEV_CLUSTER_SCRIPT ?? fileURLToPath(new URL('../../../shared/cluster/cluster', import.meta.url))
// A component that is started here outlives the run, so it gets nothing of the run's own folder for temporary files.
const run = (file: string, args: readonly string[]) => promisify(execFile)(file, args, { env: { ...process.env, TMPDIR: undefined } })

export type Component = 'apiserver' | 'kubelet' | 'containerd' | 'controllers' | 'scheduler' | 'etcd'

/** Throws if nothing here can stop parts of the cluster. */
export function requireScript(): void {
  if (!existsSync(script)) throw new Error('These tests stop parts of a cluster: RDEV_CLUSTER_SCRIPT must name what can')
}

/** Resolves when the component's process is gone. */
export async function stopComponent(component: Component, signal: 'TERM' | 'KILL' = 'KILL'): Promise<void> {
  requireScript()
  await run(script, ['stop', component, signal])
}

/** Resolves when the component answers again, as far as it can be asked. A component that dies while it starts is started again, as by systemd. */
export async function startComponent(component: Component): Promise<void> {
  await run(script, ['start', component])
  if (component === 'containerd') {
    // It starts without what the kubelet asks for if the machine has no inotify instance left at that moment (fs.inotify.max_user_instances).
    await eventually(async () => {
      const plugins = await run('ctr', ['--address', `${home}/run/containerd.sock`, 'plugins', 'list', 'id==cri'])
      if (!/\scri\s.*\serror\s*$/m.test(plugins.stdout)) return
      await run(script, ['stop', component, 'KILL'])
      await run(script, ['start', component])
      throw new Error('containerd has no runtime service')
    })
  }
  if (component === 'kubelet') {
    await eventually(async () => {
      await run(script, ['start', component])
      const { ok } = await fetch('http://127.0.0.1:10248/healthz', { signal: AbortSignal.timeout(2_000) })
      if (!ok) throw new Error('the kubelet is not healthy')
    })
  }
  if (component !== 'apiserver') return
  await eventually(() => run(script, ['kubectl', 'get', '--raw', '/readyz', '--request-timeout=2s']))
  // A scheduler may exit because of a corrupted cache after its API server was killed. In other clusters the kubelet starts it again; here this does.
  await run(script, ['stop', 'scheduler', 'KILL'])
  await run(script, ['start', 'scheduler'])
}

async function eventually(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await work()
      return
    } catch (error) {
      if (tries === 200) throw error
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

/** Kills PID 1 of the pod's container from outside, as the kernel does when the whole container is out of memory. Kubernetes starts it again. */
export async function killContainer(podUid: string): Promise<void> {
  const [first] = await containerProcesses(async (pid) => {
    const [groups, command] = await Promise.all(['cgroup', 'cmdline'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8')))
    return groups?.includes(podUid) === true && command?.startsWith('/usr/bin/tini') === true
  })
  if (first === undefined) throw new Error(`no container of pod ${podUid} was found`)
  process.kill(first, 'SIGKILL')
}

/** The node reboots: kubelet, containerd and every process of every container die at once, then kubelet and containerd are started. */
export async function rebootNode(): Promise<void> {
  await stopComponent('kubelet')
  await stopComponent('containerd')
  const shims = await processes(async (pid) => {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8')
    return command.includes('containerd-shim') && command.includes(`${home}/run/containerd.sock`)
  })
  for (const pid of await containerProcesses(async () => true)) process.kill(pid, 'SIGKILL')
  for (const pid of shims) process.kill(pid, 'SIGKILL')
  await startComponent('containerd')
  await startComponent('kubelet')
}

/** The first process of each container and sandbox of the cluster, if `wanted`. */
const containerProcesses = async (wanted: (pid: number) => Promise<boolean>): Promise<readonly number[]> =>
  await processes(async (pid) => {
    const [status, groups] = await Promise.all(['status', 'cgroup'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8')))
    return /^NSpid:\t\d+\t1$/m.test(status ?? '') && groups?.includes('/kubepods') === true && (await wanted(pid))
  })

async function processes(wanted: (pid: number) => Promise<boolean>): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  // A container that is gone by now is left out.
  const found = await Promise.all(pids.map(async (pid) => ((await wanted(pid).catch(() => false)) ? [pid] : [])))
  return found.flat()
}
