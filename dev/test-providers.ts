// npm run test:providers -- claude@2.1.332 opencode@1.18.3: the live suites of these providers with other versions of their programs, which npm
// puts into a temporary folder.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const programs: Readonly<Record<string, { package: string; tests: string }>> = {
  claude: { package: '@anthropic-ai/claude-code', tests: 'cluster-agent/src/agents/claude-code' },
  opencode: { package: 'opencode-ai', tests: 'cluster-agent/src/agents/opencode' },
}

export interface Wanted {
  readonly name: string
  /** As npm takes it. */
  readonly spec: string
  readonly tests: string
}

/** `claude@1.2.3` → the package and its tests. Throws if the program is unknown, or the version is none. */
export function wantedOf(word: string): Wanted {
  const [, name = '', version = ''] = /^(\w+)@(\d+\.\d+\.\d+)$/.exec(word) ?? []
  const program = Object.hasOwn(programs, name) ? programs[name] : undefined
  if (!program) throw new Error(`"${word}" is not one of ${Object.keys(programs).join(', ')} with a version, like claude@2.1.332`)
  return { name, spec: `${program.package}@${version}`, tests: program.tests }
}

function main(words: readonly string[]): void {
  const wanted = words.map(wantedOf)
  if (wanted.length === 0) throw new Error('which versions? For example: npm run test:providers -- claude@2.1.332 opencode@1.18.3')
  const root = fileURLToPath(new URL('..', import.meta.url))
  const folder = mkdtempSync(join(tmpdir(), 'rdev-providers-'))
  try {
    writeFileSync(join(folder, 'package.json'), '{"private":true}\n')
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--no-save', ...wanted.map(({ spec }) => spec)], {
      cwd: folder,
      stdio: 'inherit',
    })
    const binaries = join(folder, 'node_modules/.bin')
    for (const { name } of wanted) console.log(name, execFileSync(join(binaries, name), ['--version'], { encoding: 'utf8' }).trim())
    const vitest = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--config', 'vitest.workspace.ts', '--project', 'agents']
    const files = wanted.flatMap(({ tests }) => readdirSync(join(root, tests)).map((file) => `${tests}/${file}`))
    const live = files.filter((file) => file.endsWith('.live.test.ts'))
    execFileSync(process.execPath, [...vitest, '--maxWorkers=1', ...live], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, RDEV_TEST_BINARIES: binaries },
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  try {
    main(process.argv.slice(2))
  } catch (error) {
    // A program that fails has told why.
    if (!(error instanceof Error && 'status' in error)) console.error((error as Error).message)
    process.exitCode = 1
  }
}
