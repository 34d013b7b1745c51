// Takes one mechanism out of the real modules while they are loaded. Call it before any of them is imported. Throws for an unknown name.

import { registerHooks } from 'node:module'
import { patched } from '../dev/text-patch.ts'
import { mutations, type Mutation } from './mutations.ts'

export function applyMutation(name: string): Mutation {
  const mutation = mutations.find((each) => each.name === name)
  if (mutation === undefined) throw new Error(`there is no mutation ${name}; there are ${mutations.map((each) => each.name).join(', ')}`)
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      if (!url.endsWith(`/${mutation.module}`)) return loaded
      const source = patched(mutation.module, textOf(loaded.source), [mutation, ...(mutation.also === undefined ? [] : [mutation.also])])
      return { ...loaded, source }
    },
  })
  return mutation
}

function textOf(source: unknown): string {
  if (typeof source === 'string') return source
  return new TextDecoder().decode(source as Uint8Array)
}
