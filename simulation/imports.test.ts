// The simulator runs what ships: its histories go through the shipped drivers, and none of its own files steps a machine by itself.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Each holds the order of effects round a machine. */
const drivers = ['control-plane/src/objects/cluster-hub/driver.ts', 'control-plane/src/objects/task-log/driver.ts']
/** Folders of the simulator whose files step no machine. */
const folders = ['.', 'control', 'judge', 'pods', 'world']

interface Import {
  readonly from: string
  /** What comes in under its own name; types are left out. */
  readonly names: readonly string[]
}

/** Static and dynamic imports of a file, without those of types alone. */
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

const filesOf = (folder: string): string[] =>
  globSync(`simulation/${folder}/*.ts`, { cwd: root })
    .map((path) => relative('.', path))
    .filter((path) => !path.endsWith('.test.ts'))

describe('the simulator', () => {
  test.each(drivers)('a history loads %s', (driver) => {
    expect([...loadedBy('simulation/history.ts')]).toContain(driver)
  })

  test('no file of it steps a machine: drivers do', () => {
    const files = folders.flatMap(filesOf)
    expect(files.length).toBeGreaterThan(20)
    const stepping = files.flatMap((path) =>
      importsOf(path)
        .filter(
          ({ from, names }) => !from.startsWith('simulation/') && names.some((name) => name === '*' || /^(\* as|step[A-Z])/.test(name)),
        )
        .map(({ from }) => `${path} imports a step of ${from}`),
    )
    expect(stepping).toEqual([])
  })

  test('every machine of the objects is loaded through its driver alone', () => {
    const machines = globSync('control-plane/src/objects/*/machine.ts', { cwd: root })
    expect(machines.map((machine) => join(dirname(machine), 'driver.ts')).toSorted()).toEqual(
      drivers.filter((driver) => driver.includes('/objects/')),
    )
    for (const machine of machines) {
      const importers = [...loadedBy('simulation/history.ts')].filter((path) =>
        importsOf(path).some(({ from, names }) => from === machine && names.some((name) => /^step[A-Z]/.test(name))),
      )
      expect(importers, machine).toEqual([join(dirname(machine), 'driver.ts')])
    }
  })
})
