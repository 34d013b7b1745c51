// `npm run test:chaos`: the suite, then the table of its scenarios. Arguments go to vitest.
import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import process from 'node:process'
import { repository } from '../../dev/bundle.ts'
import { printTable, readRows } from './print-table.ts'
import { resultsVariable } from './row.ts'

const directory = process.env[resultsVariable] ?? (await mkdtemp(`${tmpdir()}/rdev-chaos-results-`))
const args = ['run', '--config', 'vitest.workspace.ts', '--project', 'chaos', ...process.argv.slice(2)]
const { status } = spawnSync(process.execPath, [`${repository}node_modules/vitest/vitest.mjs`, ...args], {
  cwd: repository,
  stdio: 'inherit',
  env: { ...process.env, [resultsVariable]: directory },
})
console.log(`\n${printTable(await readRows(`${directory}/results.jsonl`))}`)
if (!process.env[resultsVariable]) {
  // The last results stay in dist/, for `print-table.ts`.
  await cp(directory, `${repository}dist/chaos`, { recursive: true })
  await rm(directory, { recursive: true, force: true })
}
process.exit(status ?? 1)
