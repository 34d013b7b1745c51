// What a cluster should have beside running attempts, and what its agent finds there. Level-triggered: the whole set is told each time,
// with a version, so that nothing depends on an earlier message.

/** One thing of a kind that a cluster should have. The kind says what `spec` means; kind and name together are its identity. */
export interface Resource {
  readonly kind: string
  readonly name: string
  readonly spec: Readonly<Record<string, unknown>>
}

/** All resources of a cluster. `version` goes up with every change of the set; 0: nothing was ever wanted. */
export interface DesiredResources {
  readonly version: number
  readonly resources: readonly Resource[]
}

/**
 * `pending`: being applied or removed. `ready`: as desired. `failed`: tried, and tried again later. `unsupported`: the agent does not know
 * the kind; a newer agent may.
 */
export const resourceStates = ['pending', 'ready', 'failed', 'unsupported'] as const
export type ResourceState = (typeof resourceStates)[number]

export interface ObservedResource {
  readonly kind: string
  readonly name: string
  readonly state: ResourceState
  /** Why it is not ready, in words for an operator; null: nothing to say. */
  readonly detail: string | null
}

/** What the agent found of `version`. A resource that is gone, or was never there, is not listed. */
export interface ObservedResources {
  readonly version: number
  readonly resources: readonly ObservedResource[]
}

export const resourceKey = ({ kind, name }: { readonly kind: string; readonly name: string }): string => `${kind}/${name}`
