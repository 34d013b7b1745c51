// The table of scenarios, as Markdown: scenario | what | mechanism | result | seen to fail. From the results of the last `npm run test:chaos`
// (or the files named as arguments) and of the last `npm run test:chaos:proof` (proven.json).
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import proven from './proven.json' with { type: 'json' }
import type { Row } from './row.ts'

/** The last result of each scenario; rows of a file that is not there are none. */
export async function readRows(...files: readonly string[]): Promise<Row[]> {
  const rows = new Map<string, Row>()
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => '')
    for (const line of text.split('\n').filter(Boolean)) {
      const row = JSON.parse(line) as Row
      rows.set(nameOf(row), row)
    }
  }
  return [...rows.values()].sort((a, b) => (a.scenarios[0] ?? 99) - (b.scenarios[0] ?? 99) || a.what.localeCompare(b.what))
}

const nameOf = ({ scenarios, what }: Row): string => `${scenarios.join(' · ')} ${what}`.trim()

export function printTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const without = Object.entries(proven as Record<string, { readonly test: string }>).flatMap(([name, { test }]) =>
      nameOf(row).startsWith(test) ? [name] : [],
    )
    const cells = [row.scenarios.join(', '), row.what, row.mechanism, row.result, without.join(', ')]
    return `| ${cells.join(' | ')} |`
  })
  return ['| scenario | what happens | what makes it harmless | result | seen to fail without |', '|---|---|---|---|---|', ...lines].join(
    '\n',
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = process.argv.slice(2)
  const last = fileURLToPath(new URL('../../dist/chaos/results.jsonl', import.meta.url))
  console.log(printTable(await readRows(...(files.length > 0 ? files : [last]))))
}
