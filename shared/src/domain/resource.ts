// Desired and observed resources of a cluster, beside running attempts. Level-triggered: each message has the whole set and its version, so it
// does not depend on an earlier message.

/** One thing of a kind that a cluster should have. The kind says what `spec` means; kind and name together are its identity. */
export interface Resource {
  readonly kind: string
  readonly name: string
  readonly spec: Readonly<Record<string, unknown>>
}

/** All resources of a cluster. `version` rises with every change of the set; 0: nothing was ever desired. */
export interface DesiredResources {
  readonly version: number
  readonly resources: readonly Resource[]
}

/**
 * `pending`: being applied or removed. `ready`: as desired. `failed`: applying failed, and is repeated later. `unsupported`: the agent does
 * not know the kind; a newer agent may.
 */
export const resourceStates = ['pending', 'ready', 'failed', 'unsupported'] as const
export type ResourceState = (typeof resourceStates)[number]

export interface ObservedResource {
  readonly kind: string
  readonly name: string
  readonly state: ResourceState
  /** Why it is not ready, for an operator to read; null: no reason. */
  readonly detail: string | null
}

/** What the agent found for `version`. Resources that do not exist are not listed. */
export interface ObservedResources {
  readonly version: number
  readonly resources: readonly ObservedResource[]
}

export const resourceKey = ({ kind, name }: { readonly kind: string; readonly name: string }): string => `${kind}/${name}`
