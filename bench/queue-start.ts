// From asking to the process, on a system with nothing else to do: a peer's add-to-start beside our POST-to-start. `date` says when it ran.
import { startCommand, timeStarts, tookMs, wallMs } from './clock.ts'
import { openBoss, openGraphile, payload, queueName } from './peers.ts'
import { startPeer } from './peer-program.ts'
import { startQueueStack, trueTask, type QueueRun } from './queue-stack.ts'
import { spawnStarts } from './starts.ts'
import { percentile, printTable } from './table.ts'

export async function wakes(run: QueueRun): Promise<void> {
  const spawned = await spawnStarts()
  const graphile = await openGraphile(run.serverUrl)
  const byGraphile = await peerStarts('graphile starts', graphile, () => graphile.utils.addJob(queueName, payload))
  const boss = await openBoss(run.serverUrl)
  const byBoss = await peerStarts('boss starts', boss, () => boss.boss.send(queueName, payload))

  const stack = await startQueueStack(run, 'start')
  let ours: number[]
  try {
    const started = async () => {
      const asked = wallMs()
      const { id } = await stack.client.task({ ...trueTask, command: startCommand })
      let said = ''
      for await (const { type, data } of stack.client.events(id)) if (type === 'output') said += String(data.text)
      return tookMs(asked, said)
    }
    for (let i = 0; i < 5; i++) await started()
    ours = await timeStarts(started)
  } finally {
    await stack.stop()
  }
  const rows: [string, number[]][] = [
    ['spawn of the same command', spawned],
    ['graphile-worker addJob', byGraphile],
    ['pg-boss send, with its notify', byBoss],
    ['POST /v1/tasks', ours],
  ]
  printTable(
    'Start: asked → process runs (ms)',
    ['', 'p50', 'p95', '× spawn p50'],
    rows.map(([name, values]) => [
      name,
      percentile(values, 0.5),
      percentile(values, 0.95),
      percentile(values, 0.5) / percentile(spawned, 0.5),
    ]),
  )
}

async function peerStarts(
  what: 'graphile starts' | 'boss starts',
  peer: { readonly url: string; close(): Promise<void> },
  add: () => Promise<unknown>,
): Promise<number[]> {
  const program = startPeer({ what, url: peer.url })
  await program.next('ready')
  const started = async () => {
    const asked = wallMs()
    await add()
    return tookMs(asked, (await program.next('said')).said)
  }
  for (let i = 0; i < 5; i++) await started()
  const took = await timeStarts(started)
  program.stop()
  await peer.close()
  return took
}
