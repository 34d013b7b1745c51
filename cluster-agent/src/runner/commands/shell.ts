import type { CommandRunner } from '../../ports.ts'
import { runCommand } from './run-command.ts'

/** Kind `shell`: the command is the script. It is not an argument of `sh`, because every process of the pod could read that. */
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
