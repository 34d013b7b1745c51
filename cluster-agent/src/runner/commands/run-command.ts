// Runs a plain command as an attempt: starts its script, emits its output as it comes, and takes the result from its exit code.

import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import type { Attempt, Chunk } from '../../ports.ts'
import { OutputLines, silenceMs } from '../output-lines.ts'

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

/** Reads to the end, also when the attempt is being cancelled, so that the log has everything that was written. */
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
      // Half a character may be left: only another chunk, or the end, can complete it.
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
