// One stack for all files of a worker: starting it costs more than most of the tests. A file finds every program running and nothing queued,
// and leaves it so. The programs end when their parent, the worker, is gone; the folder is removed after the run (dev/testing/left-behind.ts).
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { TaskView } from '@rdev/shared/api/tasks'
import { lightOpenCode } from '../dev/testing/light-agents.ts'
import { sharedPrefix } from '../dev/testing/left-behind.ts'
import { setup } from './setup.ts'
import type { Bundle } from './setup.ts'

let starting: Promise<Bundle> | undefined

/** The worker's stack, made whole again. What it prints from now on is in `printed`. */
export async function sharedStack(): Promise<Bundle> {
  starting ??= mkdtemp(`${tmpdir()}/${sharedPrefix}e2e-`).then((dataDirectory) => setup({ dataDirectory, podEnv: lightOpenCode }))
  const stack = await starting
  stack.printed.length = 0
  if (!stack.controlPlane.running) await stack.startControlPlane()
  if (!stack.agent.running) await stack.startAgent()
  await stack.connected()
  return stack
}

/** Ends what a test that failed left running or queued. */
export async function leaveShared(stack: Bundle | undefined): Promise<void> {
  if (!stack?.controlPlane.running) return
  const { data } = await stack.client.json<{ data: TaskView[] }>('GET', '/v1/tasks?limit=200')
  const left = data.filter(({ finished_at }) => finished_at === null)
  await Promise.all(left.map(({ id }) => stack.client.json('POST', `/v1/tasks/${id}/cancel`)))
}
