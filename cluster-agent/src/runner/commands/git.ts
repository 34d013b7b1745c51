import type { CommandRunner } from '../../ports.ts'
import { runCommand } from './run-command.ts'
import { quote } from '../../sh.ts'

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
