// The table of scenarios, as Markdown: scenario | what | mechanism | result | seen to fail. From the results of the last `npm run test:chaos`
// (or the files named as arguments) and of the last `npm run test:chaos:proof` (proven.json). With --keep into docs/faults.md.
import { readFile, writeFile } from 'node:fs/promises'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import proven from './proven.json' with { type: 'json' }
import type { Row } from './row.ts'

/** The last result of each scenario. A missing file has no rows. */
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

const heading = '## The scenarios\n'

/** Puts the table under its heading at the end of docs/faults.md. */
async function keep(table: string): Promise<void> {
  const page = fileURLToPath(new URL('../../docs/faults.md', import.meta.url))
  const text = await readFile(page, 'utf8')
  const at = text.indexOf(heading)
  if (at < 0) throw new Error(`${page} has no heading ${heading}`)
  const about = 'Written by `node e2e/chaos/print-table.ts --keep` from the last runs of the suite and of its proof.'
  await writeFile(page, `${text.slice(0, at)}${heading}\n${about}\n\n${table}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = process.argv.slice(2).filter((word) => word !== '--keep')
  const last = fileURLToPath(new URL('../../dist/chaos/results.jsonl', import.meta.url))
  const table = printTable(await readRows(...(files.length > 0 ? files : [last])))
  if (process.argv.includes('--keep')) await keep(table)
  else console.log(table)
}
