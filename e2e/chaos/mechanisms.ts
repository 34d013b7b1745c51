// The mechanisms that a scenario proves, and how each is taken out: an exact text of one module, and what stands there without it. A text
// that is not found any more fails loudly, so this list cannot go stale in silence. `proof` names what must then fail.

import type { TextPatch } from '../../dev/text-patch.ts'
import { mechanismsOfA } from './a-mechanisms.ts'
import { mechanismsOfB } from './b-mechanisms.ts'
import { mechanismsOfCluster } from './cluster/mechanisms.ts'

export interface Mechanism extends TextPatch {
  /** From the repository's root. */
  readonly file: string
  /** File of tests (its beginning) and beginning of the test's name. Without it the entry is a tool of a scenario, not a proof. */
  readonly proof?: { readonly file: string; readonly test: string; readonly project?: 'cluster' }
}

export const mechanisms: Readonly<Record<string, readonly Mechanism[] | Mechanism>> = {
  /** Not mechanisms taken out, but other versions: what scenario 51 is about. */
  'newer protocol': {
    file: 'shared/src/wire/version.ts',
    find: 'export const protocolVersion = ',
    put: 'export const protocolVersion = 1000 + ',
  },
  'older protocol': {
    file: 'shared/src/wire/version.ts',
    find: 'export const protocolVersion = ',
    put: 'export const protocolVersion = -1 + ',
  },
  ...mechanismsOfA,
  ...mechanismsOfB,
  ...mechanismsOfCluster,
}
