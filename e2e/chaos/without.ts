// Programs without the mechanisms (mechanisms.ts) that RDEV_CHAOS_WITHOUT names, to see that a scenario can fail. The checkout does not change: the
// control plane's bundle and the agent's modules are changed while they are loaded.
import { fileURLToPath } from 'node:url'
import { mechanisms } from './mechanisms.ts'
import type { Mechanism } from './mechanisms.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
export const withoutVariable = 'RDEV_CHAOS_WITHOUT'

/** The patches of these names (separated by commas), by absolute path. Throws for an unknown name. */
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

/** Patches for the agent's process. */
export const isOfAgent = (path: string) => path.startsWith(`${repository}cluster-agent/`)
