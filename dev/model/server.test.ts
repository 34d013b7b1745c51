import { expect, onTestFinished, test } from 'vitest'
import { createParser } from 'eventsource-parser'
import { scenarioNames } from './scenarios.ts'
import { startModel } from './server.ts'

const bash = { name: 'Bash', input_schema: { properties: { command: {}, description: {} }, required: ['command', 'description'] } }

interface Sent {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
}

async function setup() {
  const model = await startModel()
  onTestFinished(() => model.close())
  const post = (body: object, signal?: AbortSignal) =>
    fetch(`${model.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': 'any', 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', max_tokens: 100, tools: [bash], ...body }),
      signal: signal ?? null,
    })
  const send = async (body: object): Promise<Sent> => {
    const response = await post(body)
    return { status: response.status, headers: response.headers, body: await response.json() }
  }
  const say = async (...contents: readonly unknown[]) =>
    send({ messages: contents.map((content, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content })) })
  return { model, post, send, say }
}
const textOf = ({ body }: Sent) => (body.content as readonly { text?: string }[]).map((block) => block.text ?? '').join('')

test('a document and a stream have the same answer', async () => {
  const { say, post } = await setup()
  const prompt = '[[scenario: plain some words to say]]'
  expect(textOf(await say(prompt))).toBe('some words to say')
  const events: { type: string; delta?: { text?: string } }[] = []
  const parser = createParser({ onEvent: ({ data }) => events.push(JSON.parse(data)) })
  parser.feed(await (await post({ stream: true, messages: [{ role: 'user', content: prompt }] })).text())
  expect(events.map((event) => event.type)).toEqual([
    'message_start',
    'ping',
    'content_block_start',
    'content_block_delta',
    'content_block_stop',
    'message_delta',
    'message_stop',
  ])
  expect(events[3]!.delta!.text).toBe('some words to say')
})

test('it recalls a word only from the conversation that it is sent', async () => {
  const { say } = await setup()
  expect(textOf(await say('Remember the word kumquat.'))).toContain('kumquat')
  expect(textOf(await say('Which word should you remember?'))).not.toContain('kumquat')
  expect(textOf(await say('Remember the word kumquat.', 'Yes.', 'Which word should you remember?'))).toBe('The word is kumquat.')
  expect(textOf(await say('one', 'ok', 'two', 'ok', '[[scenario: echo]]'))).toContain('I saw 3 prompts')
})

test("a tool is called with the client's own name and fields, and its answer is used", async () => {
  const { say, send } = await setup()
  const first = await say('[[scenario: tool]] [[command: [[ -f x ]] && echo yes]]')
  const [call] = first.body.content as readonly { id: string; type: string; name: string; input: unknown }[]
  expect(first.body.stop_reason).toBe('tool_use')
  expect(call).toMatchObject({ name: 'Bash', input: { command: '[[ -f x ]] && echo yes', description: expect.any(String) } })
  const messages = [
    { role: 'user', content: '[[scenario: tool]]' },
    { role: 'assistant', content: [call] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: call!.id, content: [{ type: 'text', text: 'yes' }] }] },
  ]
  expect(textOf(await send({ messages }))).toContain('yes')
})

test('refusals have the shape and the headers of the real ones', async () => {
  const { say, model } = await setup()
  const limited = await say('[[scenario: 429 60]]')
  expect(limited).toMatchObject({ status: 429, body: { type: 'error', error: { type: 'rate_limit_error' } } })
  expect(limited.headers.get('retry-after')).toBe('60')
  expect((await say('[[scenario: 529]]')).status).toBe(529)
  expect((await say('[[scenario: 401]]')).body).toMatchObject({ error: { type: 'authentication_error' } })
  expect(await say('[[scenario: nonsense]]')).toMatchObject({
    status: 400,
    body: { error: { message: expect.stringContaining(scenarioNames[0]!) } },
  })
  expect([(await say('[[scenario: flaky 1]]')).status, (await say('[[scenario: flaky 1]]')).status]).toEqual([529, 200])
  const nowhere = await fetch(`${model.url}/v1/nowhere`)
  expect([nowhere.status, await nowhere.json()]).toMatchObject([404, { type: 'error', error: { type: 'not_found_error' } }])
  const without = await fetch(`${model.url}/v1/messages`, {
    method: 'POST',
    body: '{"model":"m","messages":[{"role":"user","content":"x"}]}',
  })
  expect(without.status).toBe(401)
})

test('a background request for a title does not run the scenario', async () => {
  const { send } = await setup()
  const messages = [{ role: 'user', content: '[[scenario: flaky 1]]' }]
  expect(textOf(await send({ messages, tools: [], system: 'You are a title generator.' }))).toBe('A scripted task')
  expect((await send({ messages })).status).toBe(529)
})

test('tokens are counted, models are listed, and every request is in the log', async () => {
  const { model, say } = await setup()
  await say('hello')
  const counted = await fetch(`${model.url}/v1/messages/count_tokens`, {
    method: 'POST',
    headers: { authorization: 'Bearer any' },
    body: '{"model":"m","messages":[{"role":"user","content":"hello"}]}',
  })
  expect(await counted.json()).toEqual({ input_tokens: expect.any(Number) })
  expect((await fetch(`${model.url}/v1/models`)).status).toBe(200)
  expect(model.requests.map(({ path, status }) => `${path} ${status}`)).toEqual([
    '/v1/messages 200',
    '/v1/messages/count_tokens 200',
    '/v1/models 200',
  ])
  expect(model.requests[0]).toMatchObject({ prompt: 'hello', turns: 1, tools: 1 })
})

test('a hanging request ends when its client goes, and the server can be closed', async () => {
  const { post, model } = await setup()
  const gone = new AbortController()
  const hanging = post({ messages: [{ role: 'user', content: '[[scenario: hang]]' }] }, gone.signal)
  await expect.poll(() => model.requests.at(-1)?.status).toBe('hang')
  gone.abort()
  await expect(hanging).rejects.toThrow('abort')
})
