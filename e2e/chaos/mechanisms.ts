// The mechanisms that scenarios prove, and how each is taken out: by replacing an exact text of one module. A test fails if the text is not found,
// so this list stays up to date. `proof` names the test that must fail without the mechanism.

import type { TextPatch } from '../../dev/text-patch.ts'
import { mechanismsOfA } from './a-mechanisms.ts'
import { mechanismsOfB } from './b-mechanisms.ts'
import { mechanismsOfCluster } from './cluster/mechanisms.ts'

export interface Mechanism extends TextPatch {
  /** The path from the repository's root. */
  readonly file: string
  /** The beginnings of the test file's path and of the test's name. Without `proof` the entry is a tool of a scenario. */
  readonly proof?: { readonly file: string; readonly test: string; readonly project?: 'cluster' }
}

export const mechanisms: Readonly<Record<string, readonly Mechanism[] | Mechanism>> = {
  /** Tools: other versions of the protocol, for scenario 51. */
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
