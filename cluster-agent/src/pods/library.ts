// What every shell in a pod begins with. The argv is public (the API server's audit log has it), so it is only a loop that evaluates blocks
// of lines from its stdin. `read` takes one byte at a time in every shell, so the rest of stdin stays for the block; dash 0.5.12 would read
// ahead in a script that comes on stdin.

import { readFileSync } from 'node:fs'
import { quote } from '../sh.ts'

/** A part without its comments and indentation: every shell parses it. */
const read = (file: string): string => readFileSync(new URL(file, import.meta.url), 'utf8').replace(/^ *(#.*\n)?/gm, '')

const common = read('common.sh')
const start = common + `r_main=${quote(common + read('main.sh'))}\n` + read('supervisor.sh') + read('start.sh')

/** The parts that a shell may have: `start` for what starts, follows and uploads, `control` for the pod's control shell. */
const texts = { start, control: start + read('control.sh') }
export type Part = keyof typeof texts

export const libraryText = (part: Part): string => texts[part]

const newline = '\n'
const loop = [
  'rdev_block=',
  'while IFS= read -r rdev_line; do',
  'case $rdev_line in',
  `'#.') eval "$rdev_block"; rdev_block= ;;`,
  '*) rdev_block=$rdev_block$rdev_line"',
  '" ;;',
  'esac',
  'done',
].join(newline)

/** The argv of every shell that a pod host opens. */
export const shellArgv: readonly string[] = ['sh', '-c', loop]

/** Lines that the loop evaluates together. What they read from stdin follows the block. */
export const block = (lines: string): string => `${lines}${newline}#.${newline}`

/**
 * Loads that part of the library and answers `have`. It comes from the agent each time and is never kept in a file of the pod, where a task could
 * change it. The answer must come before anything else is sent: some `head` read more than they are asked for.
 */
export const loadBlock = (part: Part): string =>
  block(`r_text=$(head -c ${Buffer.byteLength(texts[part])}) && eval "$r_text" && echo have`) + texts[part]
