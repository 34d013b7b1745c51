// For pods of tests: what costs the real OpenCode half of its processor seconds and no test is about. A start takes 9 s of processor, most of
// it to load what is not used here: 2 MB of models of all providers, login plugins, a web page, an index of files.
import { fileURLToPath } from 'node:url'

/** One test of the live suite does without, so that the model that the product names is known to the binary itself. */
export const lightOpenCode: Readonly<Record<string, string>> = {
  OPENCODE_MODELS_PATH: fileURLToPath(new URL('opencode-models.json', import.meta.url)),
  OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
  OPENCODE_DISABLE_EMBEDDED_WEB_UI: '1',
  OPENCODE_DISABLE_EXTERNAL_SKILLS: '1',
  OPENCODE_DISABLE_FFF: '1',
  OPENCODE_PURE: '1',
}
