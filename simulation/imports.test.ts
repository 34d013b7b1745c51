// The simulator runs the shipped code: its histories use the shipped drivers, and none of its own files steps a machine.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

const hub = 'control-plane/src/objects/cluster-hub'
const log = 'control-plane/src/objects/task-log'
const agent = 'cluster-agent/src'

/** Each machine with its driver. */
const drivers: Readonly<Record<string, string>> = {
  [`${hub}/machine.ts`]: `${hub}/driver.ts`,
  [`${log}/machine.ts`]: `${log}/driver.ts`,
  [`${agent}/link/reconnecting-socket-machine.ts`]: `${agent}/link/reconnecting-socket.ts`,
  [`${agent}/link/hub-link-machine.ts`]: `${agent}/link/hub-link.ts`,
  [`${agent}/link/task-line-machine.ts`]: `${agent}/link/task-line.ts`,
  [`${agent}/runner/runner-machine.ts`]: `${agent}/runner/runner.ts`,
  [`${agent}/runner/attempt-run-machine.ts`]: `${agent}/runner/attempt-run.ts`,
  [`${agent}/resources/resources-machine.ts`]: `${agent}/resources/resources.ts`,
}

interface Import {
  readonly from: string
  /** The names that are imported; types are left out. */
  readonly names: readonly string[]
}

/** Static and dynamic imports of a file, without type imports. */
function importsOf(path: string): Import[] {
  const text = readFileSync(join(root, path), 'utf8')
  const statics = text.matchAll(/^(?:import|export)\s+(?!type\b)(?:([^'"]*?)\s+from\s+)?['"]([^'"]+)['"]/gm)
  const dynamics = text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)
  const found = [
    ...[...statics].map(([, what = '', from = '']) => ({ from, names: namesIn(what) })),
    ...[...dynamics].map(([, from = '']) => ({ from, names: [] })),
  ]
  return found.filter(({ from }) => from.startsWith('.')).map(({ from, names }) => ({ from: join(dirname(path), from), names }))
}

const namesIn = (what: string): string[] =>
  (/\{([\s\S]*)\}/.exec(what)?.[1] ?? what)
    .split(',')
    .map((name) => name.trim().split(/\s+as\s+/)[0] ?? '')
    .filter((name) => name !== '' && !name.startsWith('type '))

/** Every file that is loaded when this one is. */
function loadedBy(entry: string): Set<string> {
  const loaded = new Set([entry])
  for (const path of loaded) for (const { from } of importsOf(path)) if (existsSync(join(root, from))) loaded.add(from)
  return loaded
}

const isStep = (name: string): boolean => name === '*' || /^step[A-Z]/.test(name)

describe('the simulator', () => {
  const loaded = [...loadedBy('simulation/history.ts')]

  test('loads every driver that ships, and each machine through its driver alone', () => {
    expect(loaded).toEqual(expect.arrayContaining(Object.values(drivers)))
    for (const [machine, driver] of Object.entries(drivers)) {
      const stepping = loaded.filter((path) => importsOf(path).some(({ from, names }) => from === machine && names.some(isStep)))
      expect(stepping, machine).toEqual([driver])
    }
  })

  test('has no machine in its histories that is not in this list', () => {
    const steps = loaded.filter((path) => /^export function step[A-Z]/m.test(readFileSync(join(root, path), 'utf8')))
    expect(steps.toSorted()).toEqual(Object.keys(drivers).toSorted())
  })

  test('steps no machine by itself', () => {
    const files = globSync('simulation/**/*.ts', { cwd: root }).filter((path) => !path.endsWith('.test.ts'))
    expect(files.length).toBeGreaterThan(20)
    const stepping = files.flatMap((path) =>
      importsOf(path)
        .filter(({ from, names }) => !from.startsWith('simulation/') && names.some(isStep))
        .map(({ from }) => `${path} imports a step of ${from}`),
    )
    expect(stepping).toEqual([])
  })
})
