// Checks the cluster's resources when everything has come to rest.

import type { ObservedResources, Resource } from '@rdev/shared/domain/resource'
import type { History } from '../history.ts'
import { simulatedKind } from '../control/resources.ts'

/** The problems: the resources must be as desired, and the hub must know it. */
export function judgeResources(history: History): readonly string[] {
  const { version, resources } = history.plane.resources.now
  const problems: string[] = []
  const wanted = new Map(resources.filter(({ kind }) => kind === simulatedKind).map(({ name, spec }) => [name, JSON.stringify(spec)]))
  const { there } = history.resources
  for (const [name, spec] of wanted) {
    const found = there.get(name)
    if (JSON.stringify(found) !== spec) {
      problems.push(`resource ${name} should be ${spec} in version ${version}, and is ${JSON.stringify(found) ?? 'missing'}`)
    }
  }
  for (const name of there.keys()) if (!wanted.has(name)) problems.push(`resource ${name} exists and is not desired`)
  const told = history.plane.observed
  const expected = statesOf(resources)
  if (told === null || told.version !== version || observedStates(told) !== expected) {
    problems.push(`the hub knows ${JSON.stringify(told)} of its cluster's resources; version ${version} is ${expected}`)
  }
  return problems
}

const statesOf = (resources: readonly Resource[]): string =>
  resources
    .map(({ kind, name }) => `${name} ${kind === simulatedKind ? 'ready' : 'unsupported'}`)
    .sort()
    .join(', ')

const observedStates = ({ resources }: ObservedResources): string =>
  resources
    .map(({ name, state }) => `${name} ${state}`)
    .sort()
    .join(', ')
