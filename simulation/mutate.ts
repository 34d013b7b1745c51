// Takes one mechanism out of the real modules while they are loaded. Must be called before any of them is imported.

import { registerHooks } from 'node:module'
import { mutations, type Mutation } from './mutations.ts'

export function applyMutation(name: string): Mutation {
  const mutation = mutations.find((each) => each.name === name)
  if (mutation === undefined) throw new Error(`there is no mutation ${name}; there are ${mutations.map((each) => each.name).join(', ')}`)
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      if (!url.endsWith(`/${mutation.module}`)) return loaded
      let source = textOf(loaded.source)
      for (const { find, replace } of [mutation, ...(mutation.also === undefined ? [] : [mutation.also])]) {
        const parts = source.split(find)
        if (parts.length !== 2) {
          throw new Error(`mutation ${name} finds its text ${parts.length - 1} times in ${mutation.module}: the mechanism has moved`)
        }
        source = parts.join(replace)
      }
      return { ...loaded, source }
    },
  })
  return mutation
}

function textOf(source: unknown): string {
  if (typeof source === 'string') return source
  return new TextDecoder().decode(source as Uint8Array)
}
