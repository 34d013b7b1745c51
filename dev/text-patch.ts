// Replaces a text of a module while it is loaded. A proof takes a mechanism out in this way, because the code has no switch for it.

export interface TextPatch {
  readonly find: string
  readonly put: string
}

/** Throws if a text is not there exactly once: then the mechanism has changed, and the patch must follow. */
export function patched(path: string, text: string, patches: readonly TextPatch[]): string {
  let result = text
  for (const { find, put } of patches) {
    if (result.split(find).length !== 2) throw new Error(`the text to take out is not (once) in ${path}:\n${find}`)
    result = result.replace(find, () => put)
  }
  return result
}
