// Runs of a code agent whose usage and cost are compared with what the model's server counted. Each run has an API key of its own, so the server
// knows whose a request is.
import { expect } from 'vitest'
import type { AgentRequest, AgentResult } from '@rdev/shared/domain/code-agent'
import { addUsage, noUsage, type Usage } from '@rdev/shared/domain/event'
import type { Model, ModelRequest } from '../../../../dev/model/server.ts'
import type { CodeAgent } from '../../ports.ts'
import { number } from '../json.ts'
import { usageOf } from '../usage.ts'
import { Child, ChildAttempt, request, type Pod } from './child-attempt.ts'

export interface Costs {
  readonly usage: Usage
  readonly cost_usd: number
}

const add = (a: Costs, b: Costs): Costs => ({ usage: addUsage(a.usage, b.usage), cost_usd: a.cost_usd + b.cost_usd })
const none: Costs = { usage: noUsage, cost_usd: 0 }

export interface Ran {
  readonly result: AgentResult
  readonly attempt: ChildAttempt
  /** The requests that the model answered, in order. */
  readonly served: readonly ModelRequest[]
}

/** The model has a price that is known (dev/model/prices.ts). */
const pricedModel = 'claude-sonnet-4-5'

let runs = 0

export async function run(
  { model, pod, agent }: { readonly model: Model; readonly pod: Pod; readonly agent: CodeAgent },
  prompt: string,
  { during, ...more }: Partial<AgentRequest> & { readonly during?: (attempt: ChildAttempt) => Promise<void> } = {},
): Promise<Ran> {
  const key = `run-${++runs}`
  const asked = request(agent.provider, prompt, { model: pricedModel, ...more })
  const attempt = new ChildAttempt(new Child({ ...pod, env: { ...pod.env, ANTHROPIC_API_KEY: key } }), asked)
  const running = agent.execute(asked, attempt)
  await during?.(attempt)
  const result = await running
  return { result, attempt, served: model.requests.filter((one) => one.key === key && one.usage !== null) }
}

/** Ends it in the middle of a tool call, as the runner does. */
export const cancelAt =
  (agent: CodeAgent, call: number) =>
  async (attempt: ChildAttempt): Promise<void> => {
    await attempt.until((event) => event.type === 'tool.started' && attempt.types.filter((type) => type === 'tool.started').length >= call)
    await agent.cancel(attempt)
    await attempt.cancel()
  }

/** The usage and the cost of the result, and the sum of the usage events, are those of these requests. */
export function expectCosts({ result, attempt, served }: Ran, counted: readonly ModelRequest[] = served): void {
  const costs = counted.map((one): Costs => ({ usage: usageOf(one.usage), cost_usd: one.cost_usd! })).reduce(add, none)
  const events = attempt.events.filter((event) => event.type === 'usage').map(({ data }) => data)
  const told = events.map((data): Costs => ({ usage: usageOf(data), cost_usd: number(data.cost_usd) ?? 0 })).reduce(add, none)
  expect(costs.cost_usd).toBeGreaterThan(0)
  expect({ task: result.usage, events: told.usage }).toEqual({ task: costs.usage, events: costs.usage })
  expect(result.cost_usd).toBeCloseTo(costs.cost_usd, 9)
  expect(told.cost_usd).toBeCloseTo(costs.cost_usd, 9)
}
