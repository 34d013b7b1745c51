// For pods of tests: the real code agents without what costs processor time and no test is about. One test of each live suite starts its agent
// as it is.
import { fileURLToPath } from 'node:url'

/** Both are programs of Bun and live for seconds: the optimizing compiler and a collector with threads of its own cost more than they save. */
const shortLived = { BUN_JSC_useDFGJIT: '0', BUN_JSC_numberOfGCMarkers: '1', BUN_JSC_useConcurrentGC: '0' }

/** 1.2 s of processor for a run instead of 1.5 s. */
export const lightClaude: Readonly<Record<string, string>> = shortLived

/** 4.8 s instead of 9.5 s: 2 MB of models of all providers, login plugins, a web page and an index of files are not loaded. */
export const lightOpenCode: Readonly<Record<string, string>> = {
  ...shortLived,
  OPENCODE_MODELS_PATH: fileURLToPath(new URL('opencode-models.json', import.meta.url)),
  OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
  OPENCODE_DISABLE_EMBEDDED_WEB_UI: '1',
  OPENCODE_DISABLE_EXTERNAL_SKILLS: '1',
  OPENCODE_DISABLE_FFF: '1',
  OPENCODE_PURE: '1',
}

/** The environment without what is in `names`. */
export const without = (env: Readonly<Record<string, string>>, names: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !(name in names)))
