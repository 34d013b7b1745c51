// A text of a module, and what stands there instead while it is loaded: how a proof takes a mechanism out of code that has no switch for it.

export interface TextPatch {
  readonly find: string
  readonly put: string
}

/** Throws if a text is not there exactly once: then the mechanism has moved, and the patch must follow. */
export function patched(path: string, text: string, patches: readonly TextPatch[]): string {
  let result = text
  for (const { find, put } of patches) {
    if (result.split(find).length !== 2) throw new Error(`the text to take out is not (once) in ${path}:\n${find}`)
    result = result.replace(find, () => put)
  }
  return result
}
