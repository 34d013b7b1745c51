// The project of the first run: a small git repository whose only test fails, because of a bug that an agent can find.
import { execFile } from 'node:child_process'
import { access, mkdir, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

const files = {
  'package.json': `{
  "name": "demo",
  "private": true,
  "type": "module",
  "scripts": { "test": "node --test" }
}
`,
  'sum.js': `/** The sum of a list of numbers. */
export function sum(numbers) {
  let total = 0
  for (let i = 1; i < numbers.length; i++) total += numbers[i]
  return total
}
`,
  'sum.test.js': `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sum } from './sum.js'

test('sums a list', () => {
  assert.equal(sum([1, 2, 3]), 6)
})
`,
  'README.md': '# demo\n\nA function, its test, and a bug between them. `npm test` shows it.\n',
}

/** Makes the repository in `directory` unless it exists, so changes of an agent stay. */
export async function createDemoProject(directory: string): Promise<void> {
  if (
    await access(`${directory}/.git`).then(
      () => true,
      () => false,
    )
  )
    return
  await mkdir(directory, { recursive: true })
  for (const [name, text] of Object.entries(files)) await writeFile(`${directory}/${name}`, text)
  const git = (...args: string[]) => run('git', ['-C', directory, '-c', 'user.name=demo', '-c', 'user.email=demo@localhost', ...args])
  await git('init', '-q', '-b', 'main')
  await git('add', '-A')
  await git('commit', '-q', '-m', 'A function, its test, and a bug')
}
