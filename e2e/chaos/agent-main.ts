// The agent of dev/agent-main.ts without the mechanisms that RDEV_CHAOS_WITHOUT names, in its modules and in the shell scripts it sends.
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { patched } from '../../dev/text-patch.ts'
import { patchesOf, withoutVariable } from './without.ts'

const wanted = patchesOf(process.env[withoutVariable] ?? '')
delete process.env[withoutVariable]
const library = /\/cluster-agent\/src\/pods\/library\.ts$/

registerHooks({
  load: (url, context, nextLoad) => {
    const loaded = nextLoad(url, context)
    if (!url.startsWith('file:')) return loaded
    const path = fileURLToPath(url)
    const patches = wanted.get(path)
    if (patches) return { ...loaded, source: patched(path, String(loaded.source), patches) }
    if (!library.test(path)) return loaded
    // This module reads the scripts from its own directory; it gets the patched text instead.
    const scripts = [...wanted].filter(([script]) => script.endsWith('.sh'))
    let source = String(loaded.source)
    for (const [script, change] of scripts) {
      const text = JSON.stringify(patched(script, readFileSync(script, 'utf8'), change))
      const find = "readFileSync(new URL(file, import.meta.url), 'utf8')"
      const name = script.slice(script.lastIndexOf('/') + 1)
      source = patched(path, source, [{ find, put: `(file === '${name}' ? ${text} : ${find})` }])
    }
    return { ...loaded, source }
  },
})
await import('../../dev/agent-main.ts')
