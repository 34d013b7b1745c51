// Runs whose model is woken again after a result: when they are over, and what they spent. Lines as 2.1.330 writes them, cut to what matters.
import { afterEach, expect, test, vi } from 'vitest'
import type { Assignment, ExitRecord } from '@rdev/shared/domain/attempt'
import { startCursor } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import type { Attempt, AttemptDirectories, Chunk, NewEvent } from '../../ports.ts'
import { aPod } from '../testing/a-pod.ts'
import { createClaudeCode } from './claude-code.ts'

const graceMs = 5000
afterEach(() => {
  vi.useRealTimers()
})

const system = (subtype: string, more: object = {}) => ({ type: 'system', subtype, ...more })
const init = system('init', { session_id: 's', model: 'm' })
const says = (text: string) => ({ type: 'assistant', message: { content: [{ type: 'text', text }] }, parent_tool_use_id: null })
const background = (...ids: readonly string[]) => system('background_tasks_changed', { tasks: ids.map((task_id) => ({ task_id })) })

interface Parts {
  readonly text?: string
  /** Tokens and cost of this result alone. */
  readonly input: number
  readonly cost: number
  /** `total_cost_usd`. */
  readonly total: number
  /** Tokens without those of subagents. */
  readonly own?: number
  readonly older?: boolean
  /** Tokens of the whole conversation. */
  readonly all?: number
}
const result = ({ text = 'done', input, cost, total, own = input, older = false, all = 9999 }: Parts) => ({
  type: 'result',
  subtype: 'success',
  is_error: false,
  num_turns: 1,
  result: text,
  total_cost_usd: total,
  usage: { input_tokens: own, output_tokens: own, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
  modelUsage: { m: { inputTokens: all, outputTokens: all, costUSD: total } },
  ...(older
    ? {}
    : {
        model_usage_since_last_result: {
          m: { inputTokens: input - 1, outputTokens: input, costUSD: cost - 0.25 },
          n: { inputTokens: 1, costUSD: 0.25 },
        },
      }),
})

/** The total that the program keeps of a conversation, and that the script prints before a follow-up. */
const kept = (all: number, totalCostUSD: number) => ({
  type: 'cost-state',
  sessionId: 's',
  totalCostUSD,
  modelUsage: { m: { inputTokens: all - 1, outputTokens: all }, n: { inputTokens: 1 } },
})

/** A run whose lines come when the test says so. `inPod` answers what a script in the pod prints. */
function setup(inPod: () => Promise<string> = () => Promise.reject(new Error('the pod is gone'))) {
  vi.useFakeTimers()
  const events: NewEvent[] = []
  const queue: Chunk[] = []
  let wake = () => {}
  let over = false
  let position = 0
  let reason: ExitRecord['reason'] = 'exited'
  const end = () => {
    over = true
    wake()
  }
  async function* output(): AsyncGenerator<Chunk> {
    for (;;) {
      const chunk = queue.shift()
      if (chunk) yield chunk
      else if (over) return
      else await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  const stop = vi.fn<() => Promise<void>>(() => {
    reason = 'stopped'
    end()
    return Promise.resolve()
  })
  const run = vi.fn<AttemptDirectories['run']>(async () => ({ exit_code: 0, stdout: await inPod(), stderr: '' }))
  const attempt: Partial<Attempt> = {
    pod: aPod,
    assignment: { env: { HOME: '/elsewhere', OTHER: 'x' } } as Partial<Assignment> as Assignment,
    cursor: startCursor,
    process: () => Promise.resolve(),
    output,
    exited: () => Promise.resolve({ exit_code: 0, reason, stdout_bytes: position, stderr_bytes: 0, started_at: 0, ended_at: 1 }),
    stop,
    emit: async (some) => void events.push(...some),
    delta: () => {},
    now: () => 1_700_000_000_000,
  }
  const agent = createClaudeCode({ run, graceMs })
  const done: Promise<AgentResult> = agent.execute(
    { provider: 'claude-code', prompt: 'p', timeout_s: 60, deltas: false },
    attempt as Attempt,
  )
  const line = async (...messages: readonly object[]) => {
    for (const message of messages) {
      const bytes = Buffer.from(`${JSON.stringify(message)}\n`)
      queue.push({ stream: 'stdout', offset: position, bytes })
      position += bytes.length
    }
    wake()
    await vi.advanceTimersByTimeAsync(0)
  }
  const timeout = () => {
    reason = 'timeout'
    end()
  }
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)
  const usage = () => events.filter((event) => event.type === 'usage').map((event) => event.data)
  return { line, pass, end, timeout, stop, done, events, usage, run }
}

test('a process that does not exit after its result is stopped after the grace period', async () => {
  const { line, pass, stop, done } = setup()
  await line(init, says('done'), result({ input: 1, cost: 0.5, total: 0.5 }))
  await pass(graceMs - 1)
  expect(stop).not.toHaveBeenCalled()
  await pass(1)
  expect(stop).toHaveBeenCalledOnce()
  expect(await done).toMatchObject({ status: 'succeeded', result: 'done' })
})

test('work in the background is waited for, and so is what the model makes of it', async () => {
  const { line, pass, stop, end, done } = setup()
  await line(init, background('b1', 'b2'), result({ text: 'interim', input: 1, cost: 0.5, total: 0.5 }))
  await pass(60 * graceMs)
  await line(background('b2'), system('task_notification', { task_id: 'b1', status: 'completed' }))
  await pass(60 * graceMs)
  await line(background(), system('task_notification', { task_id: 'b2', status: 'completed' }), init)
  // The model thinks for long.
  await pass(60 * graceMs)
  expect(stop).not.toHaveBeenCalled()
  await line(says('final'), result({ text: 'final', input: 1, cost: 0.5, total: 1 }))
  end()
  expect(await done).toMatchObject({ status: 'succeeded', result: 'final' })
  expect(stop).not.toHaveBeenCalled()
})

test('a version that tells only begins and ends of background work is waited for too', async () => {
  const { line, pass, stop } = setup()
  await line(init, system('task_started', { task_id: 'b1' }), result({ input: 1, cost: 0.5, total: 0.5, older: true }))
  await pass(60 * graceMs)
  expect(stop).not.toHaveBeenCalled()
  await line(system('task_notification', { task_id: 'b1', status: 'stopped' }))
  await pass(graceMs)
  expect(stop).toHaveBeenCalledOnce()
})

const stopped = (id: string) => system('task_notification', { task_id: id, status: 'stopped' })

test('a process that stops its work in the background to end did not succeed', async () => {
  const { line, end, done } = setup()
  await line(init, background('b1'), result({ text: 'interim', input: 1, cost: 0.5, total: 0.5 }), background(), stopped('b1'))
  end()
  const error = 'claude ended, and stopped 1 background task that had not ended'
  expect(await done).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', error, result: 'interim', cost_usd: 0.5 })
})

test('work in the background that the model stopped, or was told of, is no failure', async () => {
  const { line, end, done } = setup()
  await line(init, background('b1', 'b2'), background('b2'), stopped('b1'), result({ text: 'interim', input: 1, cost: 0.5, total: 0.5 }))
  await line(background(), stopped('b2'), init, says('told'), result({ text: 'told', input: 1, cost: 0.5, total: 1 }))
  end()
  expect(await done).toMatchObject({ status: 'succeeded', result: 'told' })
})

test('what is only watched keeps no process', async () => {
  const { line, pass, stop } = setup()
  const tasks = [
    { task_id: 'w', ambient: true },
    { task_id: 'x', off_host: true },
  ]
  await line(init, system('background_tasks_changed', { tasks }), result({ input: 1, cost: 0.5, total: 0.5 }))
  await pass(graceMs)
  expect(stop).toHaveBeenCalledOnce()
})

test('a time limit that cuts work in the background says so, and keeps the answer', async () => {
  const { line, timeout, done } = setup()
  await line(init, background('b1'), result({ text: 'interim', input: 1, cost: 0.5, total: 0.5 }))
  timeout()
  expect(await done).toMatchObject({ status: 'timed_out', error_code: 'TIMEOUT', result: 'interim', unfinished: '1 background task' })
})

test('the cost of a follow-up is its own, although its total goes on over the conversation', async () => {
  const { line, end, done, usage } = setup()
  await line(init, result({ input: 100, cost: 0.5, total: 7.5 }))
  end()
  expect(await done).toMatchObject({ cost_usd: 0.5, usage: { input_tokens: 100, output_tokens: 100 } })
  expect(usage()).toMatchObject([{ cost_usd: 0.5, input_tokens: 100 }])
})

test('several results are added up, with their subagents, and the events add up to the same', async () => {
  const { line, end, done, usage } = setup()
  await line(init, result({ input: 201, own: 100, cost: 0.5, total: 0.5 }), init, result({ input: 102, cost: 1, total: 1.5 }))
  end()
  const { cost_usd, usage: tokens } = await done
  expect(cost_usd).toBe(1.5)
  expect(tokens).toMatchObject({ input_tokens: 303, output_tokens: 303 })
  expect(usage().map((data) => [data.input_tokens, data.cost_usd])).toEqual([
    [201, 0.5],
    [102, 1],
  ])
})

test('without the newer fields the total of the process is divided among its results', async () => {
  const { line, end, done, usage } = setup()
  const older = { cost: 0, own: 1, older: true }
  await line(init, result({ ...older, input: 1, all: 4, total: 0.5 }), init, result({ ...older, input: 2, all: 9, total: 1.5 }))
  end()
  // With what its subagents took, which `usage` leaves out.
  expect(await done).toMatchObject({ cost_usd: 1.5, usage: { input_tokens: 9 } })
  expect(usage().map((data) => [data.input_tokens, data.cost_usd])).toEqual([
    [4, 0.5],
    [5, 1],
  ])
})

test('without the newer fields a follow-up costs what it adds to the total of its conversation', async () => {
  const { line, end, done, events } = setup()
  await line(kept(100, 7.5), init, result({ input: 1, cost: 0, total: 8, all: 140, older: true }))
  end()
  expect(await done).toMatchObject({ cost_usd: 0.5, usage: { input_tokens: 40, output_tokens: 40 } })
  expect(events.map((event) => event.type)).not.toContain('provider.raw')
})

test('a version that begins its total at nothing in each run is believed', async () => {
  const { line, end, done } = setup()
  await line(kept(100, 7.5), init, result({ input: 1, cost: 0, total: 0.5, all: 40, older: true }))
  end()
  expect(await done).toMatchObject({ cost_usd: 0.5, usage: { input_tokens: 40 } })
})

const message = (id: string, input_tokens: number, output_tokens: number) => ({
  type: 'assistant',
  message: { id, usage: { input_tokens, output_tokens }, content: [{ type: 'text', text: 'x' }] },
})
const printed = (...lines: readonly object[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join('')

test('of a turn that was cut the program has kept what it took', async () => {
  const { line, timeout, done, usage, run } = setup(async () => printed(kept(160, 9.25)))
  await line(kept(100, 7.5), init, message('a', 5, 1), result({ input: 7, cost: 0.5, total: 8, all: 107 }), init, message('b', 50, 1))
  timeout()
  expect(await done).toMatchObject({ status: 'timed_out', cost_usd: 1.75, usage: { input_tokens: 60, output_tokens: 60 } })
  expect(usage().map((data) => [data.input_tokens, data.cost_usd, data.cut])).toEqual([
    [7, 0.5, undefined],
    [53, 1.25, true],
  ])
  expect(run).toHaveBeenCalledOnce()
  const [, script] = run.mock.calls[0]!
  expect(script).toContain('export HOME=/elsewhere\n')
  expect(script).not.toContain('OTHER')
})

test.each([
  ['older than its messages', printed(kept(100, 7.5))],
  ['no JSON', 'nothing\n{"type":"cost-state","totalCostUSD"'],
  ['empty', ''],
])('what was kept of a turn that was cut is %s, so its messages tell', async (_, stdout) => {
  const { line, timeout, done } = setup(async () => stdout)
  await line(kept(100, 7.5), init, message('b', 50, 1))
  timeout()
  const result = await done
  expect(result).toMatchObject({ usage: { input_tokens: 50, output_tokens: 1 } })
  expect(result.cost_usd).toBeUndefined()
})

test('a run with a result asks nothing of the pod', async () => {
  const { line, end, done, run } = setup()
  await line(init, says('done'), result({ input: 1, cost: 0.5, total: 0.5 }))
  end()
  expect(await done).toMatchObject({ status: 'succeeded' })
  expect(run).not.toHaveBeenCalled()
})

test('of a turn that was cut the tokens that are known are told, once for each message', async () => {
  const { line, timeout, done, usage } = setup()
  await line(init, message('a', 5, 1), result({ input: 7, cost: 0.5, total: 0.5 }))
  await line(init, message('b', 100, 1), message('c', 30, 1), message('b', 100, 4), message('d', 2, 1))
  timeout()
  const { usage: total, cost_usd } = await done
  expect(total).toMatchObject({ input_tokens: 7 + 132, output_tokens: 7 + 6 })
  expect(cost_usd).toBe(0.5)
  expect(usage().map((data) => [data.input_tokens, data.cost_usd])).toEqual([
    [7, 0.5],
    [132, undefined],
  ])
})

test('what was spent before a run was cut is told', async () => {
  const { line, timeout, done } = setup()
  await line(init, background('b1'), result({ input: 3, cost: 0.5, total: 0.5 }), init, says('and then'))
  timeout()
  expect(await done).toMatchObject({ status: 'timed_out', cost_usd: 0.5, usage: { input_tokens: 3 } })
})
