import { expect, test } from 'vitest'
import type { PodHost } from '../ports.ts'
import { createAttemptDirectories } from './attempt-directories.ts'

const name = 'task_01kdvdna0m7b1wdzn9zk6czza6.1'

// Found by the simulator: the pod was gone, its task went on elsewhere, and a later pod with its name and disk got the start.
test('a start that was aborted is not tried again', async () => {
  let asked = 0
  const unwanted = new AbortController()
  const host: PodHost = {
    kind: 'local',
    watch: () => {},
    shell: () => {
      asked++
      if (asked === 2) unwanted.abort()
      return Promise.reject(new Error('the pod is gone'))
    },
    connect: () => Promise.reject(new Error('nobody listens')),
    close: () => Promise.resolve(),
  }
  const directories = createAttemptDirectories(host, () => {})
  const starting = directories.start('pod', name, { script: 'exec true', stdin: '', timeout_s: 1 }, unwanted.signal)
  await expect(starting).rejects.toThrow('gone')
  await directories.close()
})
