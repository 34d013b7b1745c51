// The run against a server of the test's own, which does what the real one does only when something is wrong.
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { Chunk } from '../../ports.ts'
import { Child, ChildAttempt, request } from '../testing/child-attempt.ts'
import type { Json } from '../json.ts'
import { createOpenCode } from './opencode.ts'
import type { OpenCodeLimits } from './run.ts'

const pod = { home: '/', workspace: '/', env: {}, remove: () => Promise.resolve() }
const exit = { exit_code: 143, stdout_bytes: 0, stderr_bytes: 0, started_at: 0, ended_at: 1 }

/** An attempt whose process is a server in this program. */
class ServerAttempt extends ChildAttempt {
  readonly #exit = Promise.withResolvers<ExitRecord>()
  readonly #lines: string
  reach: (port: number) => Promise<ReturnType<typeof connect>>
  constructor(prompt: string, port: number | undefined) {
    super(new Child(pod), request('opencode', prompt))
    this.#lines = port === undefined ? '' : `opencode server listening on http://127.0.0.1:${port}\n`
    this.reach = async (to) => {
      const socket = connect(to, '127.0.0.1')
      await once(socket, 'connect')
      return socket
    }
  }
  override process = () => Promise.resolve()
  override output = () => this.#output()
  async *#output(): AsyncIterable<Chunk> {
    yield { stream: 'stdout', offset: 0, bytes: Buffer.from(this.#lines) }
    await this.#exit.promise
  }
  override exited = () => this.#exit.promise
  override stop = (reason: ExitRecord['reason'] = 'stopped') => Promise.resolve(this.#exit.resolve({ ...exit, reason }))
  override connect = (port: number) => this.reach(port)
}

interface Fake {
  /** What `GET /event` sends first. */
  readonly connected?: object
  /** Answers one request; undefined: as a server that rests and has no messages. */
  readonly answer?: (method: string, path: string) => object | 'never' | 'nonsense' | undefined
}

async function setup(fake: Fake, limits: Partial<OpenCodeLimits> = {}) {
  const asked: string[] = []
  const streams = new Set<ServerResponse>()
  const server = createServer((incoming, response) => {
    const [path] = incoming.url!.split('?')
    asked.push(`${incoming.method} ${path}`)
    const answer = fake.answer?.(incoming.method!, path!)
    if (answer === 'never') return
    if (answer === 'nonsense') return void response.end('<html>')
    if (path === '/event') {
      streams.add(response)
      response.writeHead(200).write(`data: ${JSON.stringify(fake.connected ?? { type: 'server.connected', id: 'evt_0123456789abx' })}\n\n`)
      return
    }
    const usual = path === '/session' ? { id: 'ses_1', version: '1.0.0' } : path === '/session/status' ? {} : []
    response.end(JSON.stringify(answer ?? usual))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const agent = createOpenCode({ run: () => Promise.reject(new Error('not here')), limits })
  const attempt = new ServerAttempt('hello', port)
  return {
    agent,
    attempt,
    asked,
    execute: (other: ServerAttempt = attempt) => agent.execute(request('opencode', 'hello'), other),
    send: (event: Json) => {
      for (const stream of streams) stream.write(`data: ${JSON.stringify(event)}\n\n`)
    },
  }
}

test('a version whose events have no ids is refused at once, by its number', async () => {
  const { execute, attempt } = await setup({ connected: { type: 'server.connected', properties: {} } })
  expect(await execute()).toMatchObject({
    status: 'failed',
    error_code: 'AGENT_ERROR',
    error: expect.stringMatching(/version 1\.0\.0 of opencode is not supported/),
  })
  expect(attempt.types).toEqual(['error'])
})

test('answers that are none end the run after a few tries', async () => {
  const { execute, asked } = await setup({ answer: (_, path) => (path === '/session' ? 'nonsense' : undefined) })
  expect(await execute()).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', error: expect.stringContaining('no JSON') })
  expect(asked.filter((line) => line === 'POST /session').length).toBeLessThan(10)
})

test('a server that takes connections and answers nothing ends the run, one that cannot be reached is tried on', async () => {
  const { execute } = await setup({ answer: () => 'never' }, { silentMs: 200, answerMs: 50 })
  expect(await execute()).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', error: expect.stringContaining('does not answer') })

  const away = await setup({}, { silentMs: 200 })
  let tries = 0
  const reached = away.attempt.reach
  away.attempt.reach = (port) => (++tries > 8 ? reached(port) : Promise.reject(new Error('no port-forward')))
  const running = away.execute()
  await away.attempt.until((event) => event.type === 'agent.started')
  await away.attempt.stop('cancelled')
  expect(await running).toMatchObject({ status: 'cancelled' })
})

test('a server that does not start in time is no fault of the agent: the task is tried again freely', async () => {
  const { execute } = await setup({}, { startMs: 50 })
  expect(await execute(new ServerAttempt('hello', undefined))).toMatchObject({
    status: 'failed',
    error_code: 'POD_UNAVAILABLE',
    error: expect.stringContaining('did not start'),
  })
})

test('a cancelled run tells how its tool calls ended, and what the steps before had cost', async () => {
  const user = { info: { id: 'msg_0123456789ab', role: 'user' }, parts: [] }
  const tokens = { input: 100, output: 10, reasoning: 0, cache: { read: 0, write: 0 } }
  const call = (status: string) => ({
    id: 'prt_3',
    messageID: 'msg_2',
    type: 'tool',
    tool: 'bash',
    callID: 'c',
    state: { status, error: 'aborted' },
  })
  const messages = (aborted: boolean) => [
    user,
    {
      info: { id: 'msg_1', role: 'assistant', time: { completed: 1 }, finish: 'tool-calls' },
      parts: [{ id: 'prt_1', messageID: 'msg_1', type: 'step-finish', tokens, cost: 0.5 }],
    },
    {
      info: {
        id: 'msg_2',
        role: 'assistant',
        time: aborted ? { completed: 2 } : {},
        ...(aborted && { error: { name: 'MessageAbortedError', data: {} } }),
      },
      parts: [call(aborted ? 'error' : 'running')],
    },
  ]
  let aborted = false
  const { agent, attempt, execute } = await setup(
    {
      answer: (method, path) => {
        if (path.endsWith('/abort')) aborted = true
        if (path === '/session/status') return aborted ? {} : { ses_1: { type: 'busy' } }
        return method === 'GET' && path === '/session/ses_1/message' ? messages(aborted) : undefined
      },
    },
    { lookMs: 50 },
  )
  const running = execute()
  await attempt.until((event) => event.type === 'agent.started')
  user.info.id = (JSON.parse(attempt.child.notes.get('opencode')!) as { message: string }).message
  await attempt.until((event) => event.type === 'tool.started')
  // As the runner does it: the signal aborts, then the code agent is asked, then the process tree is ended.
  await attempt.cancel()
  await agent.cancel(attempt)
  await attempt.stop('cancelled')
  expect(await running).toMatchObject({ status: 'cancelled', cost_usd: 0.5, usage: { input_tokens: 100 } })
  expect(attempt.types).toEqual(['agent.started', 'message.user', 'usage', 'tool.started', 'tool.finished'])
})
