// The same attempts in a restricted pod of a real Kubernetes, one after the other.
import { afterAll, beforeAll, test } from 'vitest'
import { createClusterPods } from '../cluster/pods.ts'
import type { ClusterPods } from '../cluster/pods.ts'
import { setup, teardown } from '../setup.ts'
import type { Bundle } from '../setup.ts'
import { hostileAttempts } from './attempts.ts'
import { boundMs, tableOf, tries } from './judge.ts'
import type { Tried } from './judge.ts'

let stack: Bundle
let pods: ClusterPods
const tried: Tried[] = []
beforeAll(async () => {
  stack = await setup({
    podHost: async () => {
      pods = await createClusterPods({ namespace: 'rdev-hostile' })
      // The home is empty at first.
      await pods.run('demo', 'mkdir -p "$HOME/workspace"')
      return pods.agentEnv
    },
  })
})
afterAll(async () => {
  console.log(tableOf(tried))
  await teardown(stack)
  await pods?.remove()
})

test.each(hostileAttempts)('a task that $does', { timeout: 3 * boundMs }, async (attempt) => {
  tried.push(await tries(stack, 'demo', attempt, (text) => pods.processesWith('demo', text)))
})
