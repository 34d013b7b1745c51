// `npm run test:chaos:proof [NAME…]`: takes one mechanism out at a time (mechanisms.ts) and requires that its scenario fails by an assertion of its
// own. The failures are kept in proven.json.
import { spawnSync } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import process from 'node:process'
import { stripVTControlCharacters } from 'node:util'
import { repository } from '../../dev/bundle.ts'
import { mechanisms } from './mechanisms.ts'
import type { Mechanism } from './mechanisms.ts'
import { withoutVariable } from './without.ts'

interface Report {
  readonly testResults: readonly {
    readonly message?: string
    readonly assertionResults: readonly { readonly title: string; readonly status: string; readonly failureMessages: readonly string[] }[]
  }[]
}

const provenFile = `${repository}e2e/chaos/proven.json`
const proven = JSON.parse(await readFile(provenFile, 'utf8')) as Record<string, { test: string; failed: string }>
const wanted = process.argv.slice(2)
const names = Object.keys(mechanisms).filter((name) => wanted.length === 0 || wanted.includes(name))
let unproven = 0

for (const name of names) {
  const { proof } = ([mechanisms[name]!].flat() as Mechanism[])[0]!
  if (!proof) continue
  if (proof.project === 'cluster' && !process.env.KUBECONFIG) {
    console.log(`without ${name}: needs a cluster (e2e/cluster/up.sh), left out`)
    continue
  }
  const output = `${tmpdir()}/rdev-chaos-proof-${process.pid}.json`
  const pattern = `^${proof.test.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`
  const args =
    `${repository}node_modules/vitest/vitest.mjs run --config vitest.workspace.ts --project ${proof.project ?? 'chaos'} ${proof.file}`.split(
      ' ',
    )
  args.push('-t', pattern, '--reporter=json', `--outputFile.json=${output}`)
  const run = spawnSync(process.execPath, args, { cwd: repository, encoding: 'utf8', env: { ...process.env, [withoutVariable]: name } })
  const report = await readFile(output, 'utf8').then(
    (text) => JSON.parse(text) as Report,
    () => undefined,
  )
  await rm(output, { force: true })
  const failed = report?.testResults.flatMap((file) => file.assertionResults).find((one) => one.status === 'failed')
  if (failed) {
    const why = firstWords(failed.failureMessages[0] ?? '')
    proven[name] = { test: proof.test, failed: why }
    console.log(`without ${name}: fails, as it must: ${why}`)
    await writeFile(provenFile, `${JSON.stringify(proven, null, 2)}\n`)
  } else {
    unproven++
    const broke = report?.testResults.find((file) => file.message)?.message ?? `${run.stdout}${run.stderr}`
    const ran = report?.testResults.flatMap((file) => file.assertionResults).filter((one) => one.status === 'passed').length
    console.log(ran ? `without ${name}: PASSES, so it proves nothing` : `without ${name}: DID NOT RUN\n${broke.slice(-3_000)}`)
  }
}
process.exit(unproven === 0 ? 0 : 1)

/** The beginning of a failure, without ids and colours. */
function firstWords(message: string): string {
  const plain = stripVTControlCharacters(message).replace(/task_[0-9a-z]{26}/g, 'task')
  const words = plain.replace(/^Error: the judge found:\n/, 'the judge: ').split('\n')[0] ?? ''
  return words.trim().slice(0, 200)
}
