// The control plane's bundle with mechanisms taken out, or with limits of minutes made seconds.
import type { Plugin } from 'esbuild'
import { readFile } from 'node:fs/promises'
import { bundleControlPlane } from '../../dev/bundle.ts'
import { patched } from '../../dev/text-patch.ts'
import type { TextPatch } from '../../dev/text-patch.ts'
import { isOfAgent, patchesOf } from './without.ts'

export const bundleWithout = (names: string, outFile: string): Promise<string> => bundleWith(patchesOf(names), outFile)

/** The patches by absolute path. Those of the agent's files are left to its process. */
export async function bundleWith(wanted: ReadonlyMap<string, readonly TextPatch[]>, outFile: string): Promise<string> {
  const done = new Set<string>()
  const plugin: Plugin = {
    name: 'without',
    setup: (build) => {
      for (const [path, patches] of wanted) {
        const filter = new RegExp(`^${path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`)
        build.onLoad({ filter }, async () => {
          const contents = patched(path, await readFile(path, 'utf8'), patches)
          done.add(path)
          return { contents, loader: 'ts' }
        })
      }
    },
  }
  await bundleControlPlane(outFile, [plugin])
  const missed = [...wanted.keys()].filter((path) => !done.has(path) && !isOfAgent(path))
  if (missed.length > 0) throw new Error(`not a part of the control plane: ${missed.join(', ')}`)
  return outFile
}
