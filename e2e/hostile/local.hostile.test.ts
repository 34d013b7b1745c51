// Hostile tasks in local pods: real supervisors, the real agent, a task that must not notice, and one that comes after.
import { mkdir, mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { repository } from '../../dev/bundle.ts'
import { processesWith, setup, teardown } from '../setup.ts'
import type { Bundle } from '../setup.ts'
import { hostileAttempts } from './attempts.ts'
import { tableOf, tries } from './judge.ts'
import type { Tried } from './judge.ts'

/** Each does its attempts one after the other, in a pod that was attacked before. */
const lanes = ['first', 'second', 'third', 'fourth'] as const

let stack: Bundle
const tried: Tried[] = []
beforeAll(async () => {
  const dataDirectory = await mkdtemp(`${tmpdir()}/rdev-hostile-`)
  const pods = await Promise.all(
    lanes.map(async (name) => {
      const directory = `${dataDirectory}/pods/${name}`
      await mkdir(`${directory}/workspace`, { recursive: true })
      return { name, role: 'project', project_id: name, slots: 4, directory, env: {}, allow_bypass_permissions: false }
    }),
  )
  const podHost = async () => ({ RDEV_POD_HOST: 'local', RDEV_LOCAL_PODS: JSON.stringify(pods) })
  stack = await setup({ dataDirectory, projects: lanes, podHost })
})
afterAll(async () => {
  console.log(tableOf(tried))
  await teardown(stack)
})

const queues = new Map<string, Promise<unknown>>()
test.concurrent.each(hostileAttempts.map((attempt, index) => ({ ...attempt, lane: lanes[index % lanes.length]! })))(
  'a task that $does',
  async ({ lane, ...attempt }) => {
    const mine = (queues.get(lane) ?? Promise.resolve()).then(() => tries(stack, lane, attempt, processesWith))
    queues.set(
      lane,
      mine.catch(() => {}),
    )
    const row = await mine
    tried.push(row)
    if (process.env.RDEV_E2E_PRINT) process.stderr.write(`${JSON.stringify(row)}\n`)
  },
)

test('at least 25 things are tried, and the page names each', async () => {
  expect(hostileAttempts.length).toBeGreaterThanOrEqual(25)
  const page = await readFile(`${repository}docs/hostile.md`, 'utf8')
  expect(hostileAttempts.filter(({ does }) => !page.includes(`| ${does} |`)).map(({ does }) => does)).toEqual([])
})
