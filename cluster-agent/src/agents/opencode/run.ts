// One run of OpenCode: its server is the attempt's process, and the conversation goes over HTTP. The list of messages is the truth; the stream of
// events only makes it fast. After a cut, or a restart of this program, the list is read and what was not emitted yet is emitted, once.
//
// It holds in memory at most one event or one page of messages (client.ts), and the state that is also in the cursor.

import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { AgentRequest, AgentResult } from '@rdev/shared/domain/code-agent'
import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import type { Attempt, NewEvent } from '../../ports.ts'
import { boundText, event, maxWordsLength } from '../bounded.ts'
import { isJson, json, list, parseObject, text, type Json } from '../json.ts'
import { LineReader } from '../lines.ts'
import { OpenCodeClient, OpenCodeHttpError, OpenCodeNonsense, OpenCodeUnreachable, requestTimeoutMs } from './client.ts'
import { openCodeScript, passwordLine } from './command.ts'
import { hasOpenCalls, ofMessages, onEvent, onRest, onStatus } from './events.ts'
import { isKnownModel } from './known-models.ts'
import { asConfig, asRuleset, rulesOf, type Rules } from './policy.ts'
import { openCodeResult } from './result.ts'
import { readOpenCodeState, type OpenCodeState } from './state.ts'
import { fail, type Effect, type OpenCodeContext, type OpenCodeStep } from './step.ts'
import { ofSubagent, subagentsToRead } from './subagents.ts'
import { Timer } from '../timer.ts'

export interface OpenCodeLimits {
  /** From the process's start to its "listening" line. It takes 6 s of processor, which a full node may not have for minutes. */
  readonly startMs: number
  /** Of one request. */
  readonly answerMs: number
  /** A server that takes connections, and answers nothing for so long, is not asked any more. */
  readonly silentMs: number
  /** If the server rests for so long after it accepted the prompt, it will not answer it any more. */
  readonly unansweredMs: number
  /** How often the server is asked whether it rests, in case the event that says so was lost. */
  readonly lookMs: number
  readonly maxRetryWaitMs: number
  readonly maxRetries: number
}

export const openCodeLimits: OpenCodeLimits = {
  startMs: 300_000,
  answerMs: requestTimeoutMs,
  silentMs: 600_000,
  unansweredMs: 30_000,
  lookMs: 30_000,
  maxRetryWaitMs: 60_000,
  maxRetries: 10,
}

/** The attempt's note: what this program must know of the conversation after a restart. */
const noteName = 'opencode'
/** After so many error answers in a row the server is not asked again. */
const maxRefusals = 5
/** The limit of a request that is repeated anyway, so it is short. */
const askTimeoutMs = 10_000
/** After an abort the server is asked so often how its tool calls ended, with a pause before each but the first. */
const abortMs = 2000
const maxClosingLooks = 8
const closingPauseMs = 150

interface Server {
  readonly port: number
  readonly password: string
}

export class OpenCodeRun {
  readonly #request: AgentRequest
  readonly #attempt: Attempt
  readonly #limits: OpenCodeLimits
  readonly #model: { providerID: string; modelID: string }
  readonly #rules: Rules
  readonly #stdout = new LineReader(0)
  readonly #stderr: LineReader
  #stderrAt: number
  #state: OpenCodeState
  /** The end of what the process wrote outside of the conversation. */
  #words = ''
  #client: OpenCodeClient | undefined
  #sent = false
  #finished = false
  /** A cancel was asked for: the exit record says how the run ended, not the messages. */
  #cancelled = false
  #exited = false
  /** Whether the stream has events of messages. */
  #tellsMessages = false
  /** Whether the current connection told something new. */
  #progress = false
  #restingSince: number | undefined
  #looking: Promise<void> | undefined
  /** How many looks are still to be made soon, because the session said that it rests. */
  #rechecks = 0
  /** Aborted when the conversation is over: the process ended, or the attempt is to end. */
  readonly #over = new AbortController()
  /** The kinds of parts that deltas belong to. */
  readonly #kinds = new Map<string, string>()

  constructor(request: AgentRequest, attempt: Attempt, model: { providerID: string; modelID: string }, limits: OpenCodeLimits) {
    this.#request = request
    this.#attempt = attempt
    this.#model = model
    this.#limits = limits
    this.#rules = rulesOf(request)
    this.#state = readOpenCodeState(attempt.cursor.state)
    this.#stderrAt = attempt.cursor.stderr
    this.#stderr = new LineReader(this.#stderrAt)
  }

  async toEnd(): Promise<AgentResult> {
    const { signal } = this.#attempt
    const script = openCodeScript({
      password: randomBytes(24).toString('base64url'),
      permission: asConfig(this.#rules),
      // An earlier task of the conversation may have used another.
      knownModel: isKnownModel(this.#model) && this.#request.provider_session_id === undefined,
      trusted: this.#attempt.pod.trust_repository_settings === true,
    })
    await this.#attempt.process({ script, stdin: '', timeout_s: this.#request.timeout_s })
    const over = () => this.#over.abort()
    if (signal.aborted) over()
    signal.addEventListener('abort', over, { once: true })

    const listening = Promise.withResolvers<Server | undefined>()
    const late = new Timer(this.#limits.startMs, () => listening.resolve(undefined))
    late.restart()
    const ended = this.#readOutput(listening.resolve).then(() => this.#attempt.exited())
    const exited = () => {
      this.#exited = true
      over()
    }
    ended.then(exited, exited)
    this.#over.signal.addEventListener('abort', () => listening.resolve(undefined), { once: true })
    try {
      const server = await listening.promise
      late.stop()
      if (server) await this.#converse(server)
      else if (!this.#over.signal.aborted)
        // Nothing of the agent ran.
        await this.#fail(`the server did not start within ${this.#limits.startMs / 1000} s`, 'POD_UNAVAILABLE')
      if (this.#finished && this.#client && hasOpenCalls(this.#state)) await this.#close(this.#client)
      // Only the server has the conversation until the log has it, so the server must not end before.
      if (this.#finished) await Promise.race([this.#attempt.stored(), aborted(signal)])
      // If the attempt is to end, the runner ends the processes and gives the reason.
      if (this.#finished && !signal.aborted) await this.#attempt.stop()
      return openCodeResult(this.#state, await ended, this.#words)
    } finally {
      signal.removeEventListener('abort', over)
      over()
    }
  }

  /** Asks the server to stop its work, and tells how its tool calls ended. Resolves soon, also if the server does not answer. */
  async cancel(): Promise<void> {
    this.#cancelled = true
    const client = this.#client
    if (!client) return
    await this.#abort()
    await this.#close(client)
  }

  /** Tells how the tool calls ended that an abort stopped. */
  async #close(client: OpenCodeClient): Promise<void> {
    const close = async () => {
      for (let looks = 0; looks < maxClosingLooks && !this.#exited; looks++) {
        if (looks > 0) await wait(closingPauseMs)
        await this.#read(client)
        if (!hasOpenCalls(this.#state)) return
      }
    }
    await Promise.race([close(), wait(abortMs)]).catch(() => {})
  }

  async #abort(): Promise<void> {
    const { session } = this.#state
    if (session !== undefined) await this.#client?.call('POST', `/session/${session}/abort`, undefined, abortMs).catch(() => {})
  }

  /** Reads stdout from its beginning each time, because its few lines tell port and password. Stderr becomes events. */
  async #readOutput(listening: (server: Server) => void): Promise<void> {
    let password = ''
    for await (const { stream, offset, bytes } of this.#attempt.output()) {
      if (stream === 'stdout') {
        for (const { text: line } of this.#stdout.push(offset, bytes)) {
          const port = /listening on http:\/\/[\w.]+:(\d+)/.exec(line)?.[1]
          if (line.startsWith(passwordLine)) password = line.slice(passwordLine.length)
          else if (port !== undefined) listening({ port: Number(port), password })
          else this.#say(line)
        }
      } else {
        for (const line of this.#stderr.push(offset, bytes)) {
          this.#say(line.text)
          this.#stderrAt = line.end
          await this.#emit([event('output', { stream, text: boundText(`${line.text}\n`) })])
        }
      }
    }
    for (const line of this.#stderr.rest()) this.#say(line.text)
  }

  #say(line: string): void {
    this.#words = `${this.#words}${line.slice(0, maxWordsLength)}\n`.slice(-maxWordsLength)
  }

  /** Opens one connection after the other until the run is over, because a port-forward may be cut at any moment. */
  async #converse({ port, password }: Server): Promise<void> {
    const client = new OpenCodeClient(this.#attempt, port, password, this.#limits.answerMs)
    this.#client = client
    let refusals = 0
    let silentSince: number | undefined
    for (let tries = 0; !this.#finished && !this.#over.signal.aborted; tries++) {
      this.#progress = false
      try {
        await this.#connection(client)
        refusals = 0
        tries = 0
        silentSince = undefined
      } catch (error) {
        if (this.#over.signal.aborted) return
        // A broken connection says nothing about the run; an answer that is an error, or that is none, does.
        const refused = error instanceof OpenCodeHttpError || error instanceof OpenCodeNonsense
        const final = error instanceof OpenCodeUnsupported || (error instanceof OpenCodeHttpError && error.status < 500)
        if (final || (refused && ++refusals >= maxRefusals)) return this.#fail((error as Error).message, this.#codeOf(error as Error))
        if (this.#progress || error instanceof OpenCodeUnreachable) silentSince = undefined
        else silentSince ??= this.#attempt.now()
        if (silentSince !== undefined && this.#attempt.now() - silentSince > this.#limits.silentMs)
          return this.#fail(`the server takes connections, and does not answer: ${(error as Error).message}`)
      }
      if (!this.#finished)
        await wait(Math.random() * Math.min(2000, 100 * 2 ** Math.min(tries, 5)), undefined, { signal: this.#over.signal }).catch(() => {})
    }
  }

  async #connection(client: OpenCodeClient): Promise<void> {
    const line = new AbortController()
    const look = new Timer(this.#limits.lookMs, () => this.#look(client).then(again, again))
    const soon = new Timer(1000, () => this.#look(client).then(again, again))
    const again = () => {
      if (line.signal.aborted) return
      look.stop()
      soon.stop()
      if (this.#finished) line.abort()
      else if (this.#restingSince === undefined && this.#rechecks === 0) look.restart()
      else soon.restart()
    }
    try {
      const events = client.events(AbortSignal.any([line.signal, this.#over.signal]))
      let known = false
      for await (const told of events) {
        if (!known) {
          // From the first event on the stream misses nothing; the list has what was before it.
          known = true
          await this.#send(client, text(told.id) ?? '')
        } else {
          this.#progress = true
          if (!(await this.#tell(client, told))) continue
        }
        if (!this.#finished) await this.#look(client)
        again()
        if (this.#finished) return
      }
    } catch (error) {
      if (!this.#finished) throw error
    } finally {
      look.stop()
      soon.stop()
      line.abort()
    }
  }

  /** Sends the prompt once: the id of its message is noted before, and looked for before the prompt is sent again. */
  async #send(client: OpenCodeClient, firstEvent: string): Promise<void> {
    if (this.#sent) return
    const { prompt, permission_mode, provider_session_id } = this.#request
    let note = json(parseObject((await this.#attempt.readNote(noteName)) ?? ''))
    let [session, message] = [text(note.session), text(note.message)]
    const noted = session !== undefined && message !== undefined
    if (session === undefined || message === undefined) {
      const permission = asRuleset(this.#rules)
      const { body } =
        provider_session_id === undefined
          ? // With a title of ours the server asks no model for one.
            await client.call('POST', '/session', { permission, title: `Task ${this.#attempt.assignment.task_id}` })
          : await client.call('PATCH', `/session/${encodeURIComponent(provider_session_id)}`, { permission })
      session = text(json(body).id) ?? ''
      message = messageId(firstEvent)
      if (message === undefined)
        throw new OpenCodeUnsupported(
          `version ${text(json(body).version) ?? 'unknown'} of opencode is not supported: its events have no ids`,
        )
      note = { session, message, directory: json(body).directory, version: json(body).version }
      await this.#attempt.writeNote(noteName, JSON.stringify(note))
    }
    this.#state = { ...this.#state, session, message }
    if (!this.#state.started) {
      const { providerID, modelID } = this.#model
      const facts = { model: `${providerID}/${modelID}`, provider_session_id: session, working_dir: note.directory, version: note.version }
      this.#state = { ...this.#state, started: true }
      await this.#emit([
        event('agent.started', { provider: 'opencode', ...facts, permission_mode }),
        event('message.user', { text: boundText(prompt) }),
      ])
    }
    if (!noted || !(await this.#isThere(client, session, message)))
      await client.call('POST', `/session/${session}/prompt_async`, {
        messageID: message,
        model: this.#model,
        ...(permission_mode === 'plan' && { agent: 'plan' }),
        parts: [{ type: 'text', text: prompt }],
      })
    this.#sent = true
  }

  /** Looks twice with a pause, because a request of an earlier agent may still be on its way into the list. */
  async #isThere(client: OpenCodeClient, session: string, message: string): Promise<boolean> {
    if (await client.messagesSince(session, message)) return true
    await wait(1000)
    return (await client.messagesSince(session, message)) !== undefined
  }

  /** Emits what an event tells. True if it is time to look whether the run has ended, or if it has. */
  async #tell(client: OpenCodeClient, told: Json): Promise<boolean> {
    if (this.#request.deltas) this.#delta(told)
    const { sessionID, status } = json(told.properties)
    if (told.type === 'message.updated') this.#tellsMessages = true
    // 1.15.0 has no events of messages, but one at the begin of each step: then the list is read.
    const unseen =
      told.type === 'session.status' && sessionID === this.#state.session && json(status).type === 'busy' && !this.#tellsMessages
    return (await this.#step(client, (state, context) => onEvent(state, told, context))) || unseen || this.#finished
  }

  /** Takes a step and does what follows from it. True if the server says that it rests. */
  async #step(client: OpenCodeClient, step: (state: OpenCodeState, context: OpenCodeContext) => OpenCodeStep): Promise<boolean> {
    const { effects } = await this.#take(step)
    let resting = false
    for (const effect of effects) resting = (await this.#do(client, effect)) || resting
    return resting
  }

  async #do(client: OpenCodeClient, effect: Effect): Promise<boolean> {
    // If the server refuses this answer, it was given before, or the question is gone. The next look finds questions that are still open.
    const answer = (path: string, body: object) => client.call('POST', path, body).catch(() => {})
    switch (effect.type) {
      case 'reply': {
        const message = effect.reply === 'reject' ? { message: 'This is not allowed here, and nobody is there to be asked.' } : {}
        await answer(`/permission/${effect.permission}/reply`, { reply: effect.reply, ...message })
        return false
      }
      case 'reject_question':
        await answer(`/question/${effect.question}/reject`, {})
        return false
      case 'give_up':
        await this.#abort()
        this.#finished = true
        return false
      case 'idle':
        // The event comes a moment before the server's status shows it.
        this.#rechecks = 3
        return true
    }
  }

  /** One look at a time: a caller during a look gets its result. */
  #look(client: OpenCodeClient): Promise<void> {
    this.#looking ??= this.#lookNow(client).finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Asks the server for its messages and status, emits what was missed, and notices the end. */
  async #lookNow(client: OpenCodeClient): Promise<void> {
    const { session, message } = this.#state
    if (session === undefined || message === undefined || this.#finished) return
    const ask = async (path: string) => (await client.call('GET', path, undefined, askTimeoutMs)).body
    for (const asked of list(await ask('/permission')).filter(isJson))
      await this.#tell(client, { type: 'permission.asked', properties: asked })
    const statuses = json(await ask('/session/status'))
    const status = json(statuses[session])
    const resting = status.type === undefined || status.type === 'idle'
    for (const asked of [session, ...Object.keys(this.#state.subagents)])
      await this.#step(client, (state, context) => onStatus(state, json(statuses[asked]), context))
    await this.#read(client)
    if (this.#rechecks > 0) this.#rechecks--
    if (this.#finished || this.#cancelled || !resting) {
      this.#restingSince = undefined
      return
    }
    let over = false
    await this.#take((state) => {
      const rest = onRest(state)
      over = rest.over
      return rest
    })
    if (over) this.#finished = true
    else {
      // The server rests without an answer: it has not begun yet, or it never will.
      this.#restingSince ??= this.#attempt.now()
      if (this.#attempt.now() - this.#restingSince > this.#limits.unansweredMs)
        await this.#fail('the prompt was accepted, but never answered')
    }
  }

  /** Emits what the lists of messages have and the stream did not tell. */
  async #read(client: OpenCodeClient): Promise<void> {
    const { session, message } = this.#state
    if (session === undefined || message === undefined) return
    const messages = await client.messagesSince(session, message)
    for (const step of ofMessages(messages ?? [])) await this.#step(client, step)
    for (const subagent of subagentsToRead(this.#state))
      for (const step of ofSubagent(subagent, await client.messagesAfter(subagent, message))) await this.#step(client, step)
  }

  /** The conversation of a follow-up lives in the pod's home, which may have lost it; then no try would find it. */
  #codeOf(error: Error): TaskErrorCode {
    const missing = error instanceof OpenCodeHttpError && error.status === 404 && error.message.includes('Session not found')
    return missing && this.#request.provider_session_id !== undefined ? 'SESSION_MISSING' : 'AGENT_ERROR'
  }

  async #fail(message: string, code: TaskErrorCode = 'AGENT_ERROR'): Promise<void> {
    this.#finished = true
    await this.#take((state) => fail(state, { code, message: boundText(message, 4096) }))
  }

  async #take(step: (state: OpenCodeState, context: OpenCodeContext) => OpenCodeStep): Promise<OpenCodeStep> {
    const { maxRetryWaitMs, maxRetries } = this.#limits
    const taken = step(this.#state, { rules: this.#rules, now: this.#attempt.now(), maxRetryWaitMs, maxRetries })
    this.#state = taken.state
    await this.#emit(taken.events)
    return taken
  }

  async #emit(events: readonly NewEvent[]): Promise<void> {
    if (events.length > 0) await this.#attempt.emit(events, { stdout: 0, stderr: this.#stderrAt, state: this.#state })
  }

  #delta(told: Json): void {
    const properties = json(told.properties)
    if (properties.sessionID !== this.#state.session) return
    if (told.type === 'message.part.updated') {
      const { id, type } = json(properties.part)
      if (this.#kinds.size > 500) this.#kinds.clear()
      if (typeof id === 'string' && (type === 'text' || type === 'reasoning')) this.#kinds.set(id, type === 'text' ? 'text' : 'thinking')
    } else if (told.type === 'message.part.delta' && properties.field === 'text') {
      const [kind, words] = [this.#kinds.get(text(properties.partID) ?? ''), text(properties.delta)]
      if (kind !== undefined && words && (text(properties.messageID) ?? '') in this.#state.told) this.#attempt.delta({ kind, text: words })
    }
  }
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** No other connection would mend it. */
class OpenCodeUnsupported extends Error {}

/**
 * The server orders messages by their ids, which begin with the time, and the prompt must come before its answer. So the time is taken from an id
 * that the server made just now, by the pod's clock. Undefined if that id has no time.
 */
function messageId(made: string): string | undefined {
  const time = /^evt_([0-9a-f]{12})/.exec(made)?.[1]
  return time === undefined ? undefined : `msg_${time}${Array.from(randomBytes(14), (byte) => base62[byte % 62]).join('')}`
}
