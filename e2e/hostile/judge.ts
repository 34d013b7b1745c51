// Runs one hostile attempt beside a task that does its work, and another after it, all in one pod, and tells how each ended.
import { expect } from 'vitest'
import type { TaskView } from '@rdev/shared/api/tasks'
import { outputOf, until } from '../setup.ts'
import type { Bundle } from '../setup.ts'
import type { HostileAttempt } from './attempts.ts'

/** The agent's ceiling is a minute after the time limit, the grace of its stop some seconds more. */
export const boundMs = 200_000

export interface Tried {
  readonly does: string
  readonly came: string
  readonly beside: string
  readonly after: string
}

const endOf = ({ status, error_code, exit_code }: TaskView): string => `${status} ${error_code ?? '-'} ${exit_code ?? '-'}`

/** `processes` answers those of the pod that have a text in their environment. */
export async function tries(
  stack: Bundle,
  project: string,
  { does, script, ends, timeoutS = 120, cancelled, again, beside: besideEnds = ['failed - 5'] }: HostileAttempt,
  processes: (text: string) => Promise<readonly number[]>,
): Promise<Tried> {
  const { client } = stack
  const ask = (command: string, more: Record<string, unknown> = {}) =>
    client.task({ kind: 'shell', project_id: project, workspace: null, timeout_s: 300, command, ...more })

  const mark = `go.${crypto.randomUUID()}`
  const beside = await ask(`echo up; until [ -e "$HOME/${mark}" ]; do sleep 0.1; done; rm "$HOME/${mark}"; echo whole; exit 5`)
  await until(stack, beside.id, (event) => event.type === 'output')

  const retry = again ? { retry: { max_attempts: 2, on: ['lost'] } } : {}
  const hostile = await ask(script, { timeout_s: timeoutS, ...retry })
  if (cancelled) {
    await until(stack, hostile.id, (event) => event.type === 'output')
    await client.json('POST', `/v1/tasks/${hostile.id}/cancel`)
  }
  const came = await bounded(client.finished(hostile.id), `the hostile task ${hostile.id} has no end`)
  await bounded(
    nobody(() => processes(`RDEV_ATTEMPT=${hostile.id}.`)),
    `a process of the hostile task ${hostile.id} is left`,
  )

  // It holds the working copy of the project, and lets the task beside go on.
  const after = await ask(`: >"$HOME/${mark}"; echo new; exit 6`, { workspace: 'main' })
  const next = await bounded(client.finished(after.id), 'a new task has no end')
  const other = await bounded(client.finished(beside.id), 'the task beside has no end')
  const row = { does, came: endOf(came), beside: endOf(other), after: endOf(next) }
  // With the words of the errors, which say more when this fails.
  expect({ ...row, errors: [came.error, other.error, next.error] }).toMatchObject({
    came: expect.toBeOneOf([...ends]),
    beside: expect.toBeOneOf([...besideEnds]),
    after: 'failed - 6',
  })
  expect(await textOf(stack, after.id)).toBe('new\n')
  if (row.beside === 'failed - 5') expect(await textOf(stack, beside.id)).toBe('up\nwhole\n')
  return row
}

async function nobody(processes: () => Promise<readonly number[]>): Promise<void> {
  while ((await processes()).length > 0) await new Promise((resolve) => setTimeout(resolve, 200))
}

async function textOf(stack: Bundle, id: string): Promise<string> {
  const events = []
  for await (const event of stack.client.events(id)) events.push(event)
  return outputOf(events)
}

async function bounded<Result>(work: Promise<Result>, what: string): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(what)), boundMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The table of docs/hostile.md, with what came in this run. */
export function tableOf(tried: readonly Tried[]): string {
  const rows = tried.map(({ does, came, beside, after }) => `| ${does} | ${came} | ${beside} | ${after} |`)
  return ['| a task that … | came to | beside it | after it |', '|---|---|---|---|', ...rows].join('\n')
}
