// Programs with one mechanism taken out (mechanisms.ts), chosen by RDEV_CHAOS_WITHOUT: the way to see that a scenario can fail. The checkout
// stays as it is: the control plane's bundle and the agent's modules are changed while they are loaded.
import { fileURLToPath } from 'node:url'
import { mechanisms } from './mechanisms.ts'
import type { Mechanism } from './mechanisms.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
export const withoutVariable = 'RDEV_CHAOS_WITHOUT'

/** The patches of these names (separated by commas), by absolute path. */
export function patchesOf(names: string): ReadonlyMap<string, readonly Mechanism[]> {
  const found = new Map<string, Mechanism[]>()
  for (const name of names.split(',').filter((one) => one !== '')) {
    const known = mechanisms[name]
    if (!known) throw new Error(`mechanisms.ts has no mechanism called ${name}`)
    for (const one of [known].flat() as Mechanism[]) {
      const path = repository + one.file
      found.set(path, [...(found.get(path) ?? []), one])
    }
  }
  return found
}

/** Those live in the agent's process only. */
export const isOfAgent = (path: string) => path.startsWith(`${repository}cluster-agent/`)
