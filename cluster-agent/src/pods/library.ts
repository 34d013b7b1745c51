// What every shell in a pod begins with. The argv is public (the API server's audit log has it), so it is only a loop that evaluates blocks
// of lines from its stdin. `read` takes one byte at a time in every shell, so the rest of stdin stays for the block; dash 0.5.12 would read
// ahead in a script that comes on stdin.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

const text = ['supervisor.sh', 'start.sh', 'control.sh'].map((file) => readFileSync(new URL(file, import.meta.url), 'utf8')).join('\n')
const hash = createHash('sha256').update(text).digest('hex').slice(0, 16)

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

/** Loads the library and answers `have`, or answers `need` if the pod does not have it yet. */
export const loadBlock = block(
  [
    'rdev_lib=${RDEV_HOME:-$HOME/.rdev}/lib/' + hash + '.sh',
    'if [ -r "$rdev_lib" ]; then . "$rdev_lib"; r_lib=$rdev_lib; echo have; else echo need; fi',
  ].join(newline),
)

/** Sent after `need`: installs the library and answers `have`. */
export const installBlocks = block(text) + block(`rdev_install ${hash} && echo have`)
