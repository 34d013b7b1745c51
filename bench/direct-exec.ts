// The raw way in a cluster: what `kubectl exec` does, without its program's own start, which would only flatter the line.
import { PassThrough } from 'node:stream'
import { Exec } from '@kubernetes/client-node'
import type { ClusterPods } from '../e2e/cluster/pods.ts'
import { clockReader, clockScript, startCommand, timeStarts, tookMs, wallMs } from './clock.ts'

type Pods = Pick<ClusterPods, 'agentKubeConfig' | 'namespace'>

/** Resolves when the command has ended and all it said was read. */
async function exec({ agentKubeConfig, namespace }: Pods, pod: string, command: string[], read: (text: string) => void): Promise<void> {
  const stdout = new PassThrough()
  const said = new Promise((resolve) => stdout.once('end', resolve))
  stdout.setEncoding('utf8').on('data', read)
  await new Promise<void>((resolve, reject) => {
    new Exec(agentKubeConfig)
      .exec(namespace, pod, 'box', command, stdout, process.stderr, null, false, ({ status, message }) => {
        if (status === 'Success') resolve()
        else reject(new Error(`exec in ${pod}: ${message ?? 'no reason given'}`))
      })
      .catch((error: unknown) => reject(error instanceof Error ? error : new Error(`exec in ${pod} was refused`, { cause: error })))
  })
  stdout.end()
  await said
}

export async function execLatency(pods: Pods, pod: string): Promise<readonly number[]> {
  const { late, read } = clockReader()
  await exec(pods, pod, ['node', '-e', clockScript], read)
  return late
}

export const execStarts = (pods: Pods, pod: string): Promise<number[]> =>
  timeStarts(async () => {
    const asked = wallMs()
    let said = ''
    await exec(pods, pod, ['sh', '-c', startCommand], (text) => (said += text))
    return tookMs(asked, said)
  })
