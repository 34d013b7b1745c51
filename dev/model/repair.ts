// "Fix the failing test": run the tests, read the failing one, read what it imports, change one operator, and run them again; try another
// operator if they still fail. It uses the client's own tools and knows only what they answered.

import { posix } from 'node:path'
import type { Conversation, ToolCall, Turn } from './conversation.ts'
import { callTool, say, type Reply } from './reply.ts'

const runTests =
  '( pwd; if [ -f package.json ] && command -v npm >/dev/null; then npm test; else node --test; fi; echo "exit status $?" ) 2>&1 | tail -n 120'
const maxEdits = 8

/** A typing error and what was meant, likelier ones first. */
const slips: readonly (readonly [RegExp, string])[] = [
  [/\(let (\w+) = 1;/, '(let $1 = 0;'],
  [/ - (?!1\b)/, ' + '],
  [/ <= /, ' < '],
  [/ < /, ' <= '],
  [/ >= /, ' > '],
  [/ > /, ' >= '],
  [/ - 1\b/, ''],
  [/ \+ 1\b/, ''],
  [/ \+ /, ' - '],
  [/ \* /, ' / '],
  [/ \/ /, ' * '],
  [/ === /, ' !== '],
  [/ !== /, ' === '],
  [/ && /, ' || '],
  [/ \|\| /, ' && '],
  [/\.length\b/, '.length - 1'],
  [/ % /, ' / '],
]

/** Read tools number their lines (`12→`, `12\t`, `12: `, `00012| `) and wrap them in tags. */
function unnumbered(output: string): readonly string[] {
  const lines = output.split('\n').map((line) => /^\s*\d+(?:\t|→|\| ?|: ?)(.*)$/.exec(line)?.[1])
  return lines.filter((line) => line !== undefined)
}

function failingTest(output: string): string | undefined {
  const path = /(?:\/|\b)[\w./-]*\.(?:test|spec)\.[cm]?[jt]s\b/
  const failure = output.slice(Math.max(0, output.search(/failing tests|✖|not ok|test at /)))
  return path.exec(failure)?.[0] ?? path.exec(output)?.[0]
}

const importedBy = (lines: readonly string[]): string | undefined =>
  /(?:from|require\()\s*['"](\.{1,2}\/[^'"]+)['"]/.exec(lines.join('\n'))?.[1]

/** Source lines that occur once, each with one error corrected: `[line, changed]`. Edit tools need a unique old text. */
function candidates(lines: readonly string[]): readonly (readonly [string, string])[] {
  const code = lines.filter((line) => line.trim() !== '' && !/^\s*(?:\/\/|\*|\/\*|import\b)/.test(line))
  const once = code.filter((line) => lines.filter((other) => other.includes(line)).length === 1)
  return slips.flatMap(([slip, meant]) => once.filter((line) => slip.test(line)).map((line) => [line, line.replace(slip, meant)] as const))
}

const passed = (call: ToolCall): boolean => /exit status 0/.test(call.output ?? '')

export function repair(conversation: Conversation, turn: Turn): Reply {
  const [tests, readTest, readSource, ...edits] = turn.calls
  const test = (before: string) => callTool(conversation, 'bash', { command: runTests, description: 'Run the tests' }, before)
  if (!tests) return test('I will run the tests first.')
  if (passed(tests)) return say('All tests pass already; there is nothing to fix.')
  const root = (tests.output ?? '').split('\n').find((line) => line.startsWith('/')) ?? ''
  const testPath = failingTest(tests.output ?? '')
  if (testPath === undefined) return say('The tests fail, but I found no test file in their output.')
  const testFile = posix.resolve(root, testPath)

  if (!readTest) return callTool(conversation, 'read', { file_path: testFile }, `A test fails in ${testPath}. I will read it.`)
  const imported = importedBy(unnumbered(readTest.output ?? ''))
  if (imported === undefined) return say(`I read ${testPath}, but it imports nothing that I could fix.`)
  const source = posix.resolve(posix.dirname(testFile), imported)

  if (!readSource) return callTool(conversation, 'read', { file_path: source }, `It tests ${imported}. I will read that.`)
  const ideas = candidates(unnumbered(readSource.output ?? '')).slice(0, maxEdits)

  // From here on each idea takes three steps: make the change, run the tests, undo the change.
  const idea = ideas[Math.floor(edits.length / 3)]
  if (!idea) return say(`I tried ${ideas.length} changes, and the tests still fail.`)
  const [wrong, meant] = idea
  const last = edits.at(-1)
  const edit = (from: string, to: string, before: string) =>
    callTool(conversation, 'edit', { file_path: source, old_string: from, new_string: to }, before)
  switch (edits.length % 3) {
    case 0:
      return edit(wrong, meant, 'I will change one operator.')
    case 1:
      return last?.isError === true ? say(`The edit failed: ${last.output ?? ''}`) : test('Now the tests again.')
    default:
      if (!last || !passed(last)) return edit(meant, wrong, 'That was not it; I will put it back.')
      return say(`Fixed: in ${imported} I changed \`${wrong.trim()}\` to \`${meant.trim()}\`. All tests pass now.`)
  }
}
