// The totals that the program keeps of a conversation, in the file of its messages. They are read before a follow-up, because a version may count
// on from there, and after a run that was cut, because it may have written no result.

import { exportAll } from '../../sh.ts'
import { parseObject } from '../json.ts'
import { totalOfLine, type Total } from './spending.ts'

/** sh text that prints the newest total, as one line of JSON; nothing if there is none. */
export function printTotal(session: string): string {
  if (!/^[\w-]{1,128}$/.test(session)) return ''
  return `for rdev_file in "\${CLAUDE_CONFIG_DIR:-$HOME/.claude}"/projects/*/${session}.jsonl; do
  [ ! -f "$rdev_file" ] || LC_ALL=C grep '^{"type":"cost-state"' "$rdev_file" | tail -n 1
done
unset rdev_file
`
}

/** The same for a shell without the task's environment, which may name another home. */
export function printTotalIn(env: Readonly<Record<string, string>>, session: string): string {
  const homes = Object.entries(env).filter(([name]) => name === 'HOME' || name === 'CLAUDE_CONFIG_DIR')
  return exportAll(Object.fromEntries(homes)) + printTotal(session)
}

/** What `printTotal` printed. */
export const readPrinted = (printed: string): Total | undefined => totalOfLine(parseObject(printed.trim().split('\n').at(-1) ?? '') ?? {})
