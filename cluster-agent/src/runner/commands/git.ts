import type { CommandRunner } from '../../ports.ts'
import { runCommand } from './run-command.ts'
import { quote } from '../../sh.ts'

/** The exit code of `sh` if there is no such command (POSIX). */
const notFound = 127

/** Kind `git`: the command is git's arguments. Prompts and pagers are switched off, because nobody could answer them. */
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
