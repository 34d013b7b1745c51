// A plain command as an attempt: its script starts, its output goes up as it comes, its exit code says how it ended.

import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import type { Attempt, Chunk, CommandRunner } from '../ports.ts'
import { quote } from '../sh.ts'
import { OutputLines, silenceMs } from './output-lines.ts'

/** What a command needs of its attempt. */
export type CommandAttempt = Pick<Attempt, 'assignment' | 'cursor' | 'process' | 'output' | 'exited' | 'emit' | 'after'>

export async function runCommand(
  attempt: CommandAttempt,
  script: string,
  resultOf: (record: ExitRecord) => AgentResult,
): Promise<AgentResult> {
  await attempt.process({ script, stdin: '', timeout_s: attempt.assignment.timeout_s })
  await pumpOutput(attempt)
  return resultOf(await attempt.exited())
}

/** Reads to the end, also when the attempt is being cancelled: what was written is told. */
async function pumpOutput(attempt: CommandAttempt): Promise<void> {
  const lines = new OutputLines(attempt.cursor)
  const tell = async (found: ReturnType<OutputLines['push']>) => {
    for (const { event, cursor } of found) await attempt.emit([event], cursor)
  }
  const chunks = attempt.output()[Symbol.asyncIterator]()
  let next = chunks.next()
  for (;;) {
    const result = lines.holds ? await orSilence(attempt, next) : await next
    if (result === 'silence') {
      await tell(lines.flush(false))
      // Half a character may be left: only another chunk, or the end, brings news of it.
      await next
      continue
    }
    if (result.done) break
    await tell(lines.push(result.value))
    next = chunks.next()
  }
  await tell(lines.flush(true))
}

function orSilence(attempt: Pick<Attempt, 'after'>, next: Promise<IteratorResult<Chunk>>): Promise<IteratorResult<Chunk> | 'silence'> {
  return new Promise((resolve, reject) => {
    const cancel = attempt.after(silenceMs, () => resolve('silence'))
    next.finally(cancel).then(resolve, reject)
  })
}

/** Kind `shell`: the command is the script. It is not an argument of `sh`, where every process of the pod could read it. */
export const shell: CommandRunner = {
  execute: (attempt) => {
    const { command } = attempt.assignment
    if (typeof command !== 'string')
      return Promise.resolve({ status: 'failed', error_code: 'INVALID_SPEC', error: 'command must be a text' })
    return runCommand(attempt, `${command}\n`, ({ exit_code }) =>
      exit_code === 0
        ? { status: 'succeeded', exit_code }
        : { status: 'failed', exit_code, error: `the command ended with exit code ${exit_code}` },
    )
  },
}

/** What `sh` answers when there is no such command. */
const notFound = 127

/** Kind `git`: the command is git's arguments. Nobody is there to answer a prompt or to leave a pager. */
export const git: CommandRunner = {
  execute: (attempt) => {
    const { command } = attempt.assignment
    if (typeof command !== 'object' || command === null) {
      return Promise.resolve({ status: 'failed', error_code: 'INVALID_SPEC', error: 'command must be a list of arguments' })
    }
    const script = `export GIT_TERMINAL_PROMPT=0 GIT_PAGER=cat GIT_EDITOR=true\nexec git ${command.map(quote).join(' ')}\n`
    return runCommand(attempt, script, ({ exit_code }) => {
      if (exit_code === 0) return { status: 'succeeded', exit_code }
      if (exit_code === notFound) return { status: 'failed', exit_code, error_code: 'BINARY_MISSING', error: 'there is no git in the pod' }
      return { status: 'failed', exit_code, error: `git ended with exit code ${exit_code}` }
    })
  },
}
