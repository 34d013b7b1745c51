// Which packages a room imports: its package.json names every package and every other room that its files import, so only what is used is
// installed, and the product never depends on a room that builds, tests or measures it. Inside a room, lint checks the imports.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { repository } from './bundle.ts'

interface Package {
  readonly name: string
  readonly workspaces: readonly string[]
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

const read = (file: string) => readFileSync(join(repository, file), 'utf8')
const packageOf = (folder: string) => JSON.parse(read(join(folder, 'package.json'))) as Package
const needs = (it: Package): Readonly<Record<string, string>> => ({ ...it.dependencies, ...it.devDependencies })

const root = packageOf('.')
const rooms = root.workspaces
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...rooms], {
  cwd: repository,
  encoding: 'utf8',
})
  .trim()
  .split('\n')
const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, Package & { version: string }> }
/** Modules of the platforms; `vitest` and other tools come from the root. */
const isBuiltIn = (name: string) => /^(node|cloudflare):/.test(name) || builtinModules.includes(name)

/** What a file imports: a package's name, or `@rdev/ROOM` for a file of another room. */
function importsOf(file: string): string[] {
  const room = file.slice(0, file.indexOf('/'))
  const imports = read(file).matchAll(/^(?:import|export)\b[^'"`;]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm)
  return [...imports].flatMap((match) => {
    const target = match[1] ?? match[2] ?? match[3] ?? ''
    if (target.startsWith('.')) {
      const [other = ''] = normalize(join(dirname(file), target)).split('/')
      return other === room || !rooms.includes(other) ? [] : [`@rdev/${other}`]
    }
    return isBuiltIn(target) ? [] : [target.split('/', target.startsWith('@') ? 2 : 1).join('/')]
  })
}

test.each(rooms)('the package.json of %s names what the room imports', (room) => {
  const named = { ...needs(packageOf(room)), ...root.devDependencies }
  const found = tracked
    .filter((file) => file.startsWith(`${room}/`) && /\.(ts|mjs)$/.test(file) && !file.includes('/fixtures/'))
    .flatMap((file) =>
      importsOf(file)
        .filter((name) => !(name in named))
        .map((name) => `${file}: ${name}`),
    )
  expect(found).toEqual([])
})

test('outside of its tests the product imports no room that builds, tests or measures it', () => {
  const isProduct = (file: string) =>
    /^(shared|control-plane|cluster-agent)\/.*\.ts$/.test(file) && !/\.test\.ts$|\/(testing|fixtures|contract)\//.test(file)
  const found = tracked.filter(isProduct).flatMap((file) =>
    importsOf(file)
      .filter((name) => /^@rdev\/(dev|e2e|bench|simulation)$/.test(name))
      .map((name) => `${file}: ${name}`),
  )
  expect(found).toEqual([])
})

test('a dependency has one exact version, wherever it is named', () => {
  const versions = new Map<string, Set<string>>()
  for (const folder of ['.', ...rooms])
    for (const [name, version] of Object.entries(needs(packageOf(folder))))
      versions.set(name, (versions.get(name) ?? new Set()).add(version))
  const found = [...versions].filter(([, all]) => all.size > 1 || ![...all].every((version) => /^\d/.test(version)))
  expect(found).toEqual([])
})

test('the lock file is up to date with every package.json', () => {
  for (const folder of ['.', ...rooms]) {
    const locked = lock.packages[folder === '.' ? '' : folder]
    expect(locked && needs(locked), folder).toEqual(needs(packageOf(folder)))
  }
})

test('the tree has one workerd', () => {
  expect(Object.keys(lock.packages).filter((path) => path.endsWith('node_modules/workerd'))).toEqual(['node_modules/workerd'])
})
