// The same in the restricted pods of a real Kubernetes, beside an exec of the same command: first the agent's own share (its pod host and attempt
// directories in this program, as the exec is), then the whole line. Needs what the cluster suite needs; see e2e/cluster/up.sh.
import { randomBytes } from 'node:crypto'
import { attemptName, newId } from '@rdev/shared/domain/ids'
import { createAttemptDirectories } from '../cluster-agent/src/pods/attempt-directories.ts'
import { createKubernetesHost } from '../cluster-agent/src/pods/kubernetes/host.ts'
import type { AttemptDirectories, Log } from '../cluster-agent/src/ports.ts'
import { startStack } from '../dev/stack.ts'
import { createClusterPods } from '../e2e/cluster/pods.ts'
import type { ClusterPods } from '../e2e/cluster/pods.ts'
import { clockReader, clockScript, startCommand, timeStarts, tookMs, wallMs } from './clock.ts'
import { execLatency, execStarts } from './direct-exec.ts'
import { lineLatency } from './latency.ts'
import { taskStarts, warmUp } from './starts.ts'
import { printLatency, printStarts } from './table.ts'

export async function cluster(directory: string): Promise<void> {
  const pods = await createClusterPods({ namespace: 'rdev-bench' })
  try {
    await agentShare(pods)
    await wholeLine(pods, directory)
  } finally {
    await pods.remove()
  }
}

const log: Log = (level, phrase, fields) => {
  if (level !== 'info') console.error(level, phrase, fields ?? '')
}

/** Runs before any agent: an agent would end these attempts, because no task has them. */
async function agentShare(pods: ClusterPods): Promise<void> {
  const { agentKubeConfig: kubeConfig, namespace, project: pod } = pods
  const host = createKubernetesHost({ namespace, log, kubeConfig })
  const directories = createAttemptDirectories(host, log)
  try {
    // Opens the control shell, and with it the spare.
    for (let i = 0; i < 5; i++) await runAttempt(directories, pod, 'true', () => {})
    const exec = await execLatency(pods, pod)
    const { late, read } = clockReader()
    await runAttempt(directories, pod, `exec node -e '${clockScript}'`, read)
    printLatency(
      'Cluster, agent’s end: process write → reader in the agent (ms)',
      ['an exec of the same command', exec],
      ['followed', late],
      { ratio: true },
    )

    const fresh = await execStarts(pods, pod)
    const spare = await timeStarts(async () => {
      const asked = wallMs()
      let said = ''
      await runAttempt(directories, pod, `exec ${startCommand}`, (text) => (said += text))
      return tookMs(asked, said)
    })
    printStarts(
      'Cluster, agent’s end: asked → process runs (ms)',
      ['a fresh exec of the same command', fresh],
      ['on the warm spare', spare],
    )
  } finally {
    await directories.close()
    await host.close()
  }
}

/** As the runner does it: started, followed to its end, removed. */
async function runAttempt(directories: AttemptDirectories, pod: string, script: string, read: (text: string) => void): Promise<void> {
  const name = attemptName(newId('task', Date.now(), randomBytes(10)), 1)
  const started = await directories.start(pod, name, { script, stdin: '', timeout_s: 600 })
  if (started.outcome !== 'started') throw new Error(`an attempt was not started: ${JSON.stringify(started)}`)
  const { signal } = new AbortController()
  for await (const { stream, bytes } of directories.follow(pod, name, { stdout: 0, stderr: 0 }, signal))
    if (stream === 'stdout') read(bytes.toString('utf8'))
  const record = await directories.ended(pod, name, signal)
  // The time of a failed run means nothing.
  if (record?.exit_code !== 0) throw new Error(`an attempt ended with ${JSON.stringify(record)}`)
  await directories.remove(pod, name)
}

async function wholeLine(pods: ClusterPods, directory: string): Promise<void> {
  const { project } = pods
  const stack = await startStack({
    dataDirectory: `${directory}/cluster`,
    port: 0,
    logLevel: process.env.RDEV_LOG_LEVEL ?? 'warn',
    onLog: (text) => process.stderr.write(text),
    podHost: async (_port, workspace) => {
      await pods.copyInto(project, workspace, '/home/agent/workspace')
      return pods.agentEnv
    },
  })
  try {
    await warmUp(stack)
    printLatency(
      'Cluster: process write → reader (ms)',
      ['an exec of the same command', await execLatency(pods, project)],
      ['the line, read as SSE', await lineLatency(stack)],
      { ratio: true },
    )
    printStarts(
      'Cluster: asked → process runs (ms)',
      ['a fresh exec of the same command', await execStarts(pods, project)],
      ['POST /v1/tasks', await taskStarts(stack)],
    )
  } finally {
    await stack.stop()
  }
}
