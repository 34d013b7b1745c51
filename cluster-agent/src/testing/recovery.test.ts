// The agent's connections after an outage: real sockets, no processes.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createHubLink } from '../link/hub-link.ts'
import { ReconnectGroup } from '../link/reconnect-group.ts'
import { lineOpener } from '../link/task-line.ts'
import { dialWebSocket } from '../link/web-socket.ts'
import { nodeTimers } from '../node-timers.ts'
import type { TaskLine } from '../ports.ts'
import { clusterKey, FakeControlPlane } from './fake-control-plane.ts'
import { assignment } from './setup.ts'

const lineCount = 200
/** Every failed dial waits as long as it may: 0, 1, 2, 4 and 8 s, and then 16 s: long beside what a busy computer takes for 200 sockets. */
const dialsUntilLongWait = 5
const longWaitMs = 16_000

let plane: FakeControlPlane
const lines: TaskLine[] = []
let closeHub: () => void
beforeEach(async () => {
  plane = await FakeControlPlane.start()
  vi.spyOn(Math, 'random').mockReturnValue(0.999_999)
})
afterEach(async () => {
  vi.restoreAllMocks()
  for (const line of lines.splice(0)) line.close()
  closeHub()
  await plane.close()
})

function open() {
  const platform = { url: plane.url, timers: nodeTimers, dial: dialWebSocket, group: new ReconnectGroup() }
  const openLine = lineOpener(platform)
  const handlers = { restart: () => {}, command: () => {}, finished: () => {}, refused: () => {} }
  const tasks = Array.from({ length: lineCount }, () => {
    const task = plane.assign(assignment())
    const { token } = plane.tokened(task)
    lines.push(openLine({ task_id: task.assignment.task_id, attempt: 1, token }, undefined, handlers))
    return task
  })
  const link = createHubLink(
    platform,
    { clusterId: 'test', key: clusterKey, version: '1', instance: 'instance-one', log: () => {} },
    {
      gather: async () => ({ pods: [], attempts: [] }),
      welcome: () => {},
      assign: () => {},
      desired: () => {},
      lost: () => {},
      live: () => [],
    },
  )
  closeHub = () => link.close()
  link.start()
  return tasks
}

// Tried again, because a computer that is too busy to answer a dial in ten seconds makes its socket dial once more.
test('two hundred lines and the hub link: when one is back, all others dial', { timeout: 150_000, retry: 2 }, async () => {
  const tasks = open()
  const allThere = () => plane.connected && tasks.every((task) => task.line !== undefined)
  await plane.until(allThere)
  plane.leave()
  await plane.until(() => plane.dialsWhileAway >= dialsUntilLongWait * (lineCount + 1), 80_000)
  const before = tasks.map((task) => task.lines)
  plane.comeBack()
  // Repeated, because at the first time its last dial may not have failed yet.
  await expect
    .poll(() => {
      lines[0]!.token(plane.tokened(tasks[0]!).token)
      return tasks[0]!.line !== undefined
    })
    .toBe(true)
  // Their own waits would take longer than this.
  await plane.until(allThere, longWaitMs * 0.75)
  // No socket dialled more than once.
  expect(tasks.map((task, i) => task.lines - before[i]!)).toEqual(tasks.map(() => 1))
})
