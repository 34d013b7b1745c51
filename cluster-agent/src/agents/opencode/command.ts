import { exportAll, quote } from '../../sh.ts'

/** The script prints the password as its first line. The attempt's output file keeps it, so the next agent knows it after a restart. */
export const passwordLine = 'rdev-opencode-password '

const quiet = {
  OPENCODE_DISABLE_AUTOUPDATE: '1',
  // The binary's own list of models is used, because a pod may not reach the network.
  OPENCODE_DISABLE_MODELS_FETCH: '1',
  OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
  OPENCODE_DISABLE_SHARE: '1',
  // Nobody else edits the files and nobody asks it to undo, so it needs no file watcher and no snapshot at every step.
  OPENCODE_EXPERIMENTAL_DISABLE_FILEWATCHER: '1',
  OPENCODE_CLIENT: 'rdev',
}

/**
 * OpenCode reads the key from ANTHROPIC_API_KEY, but not the base URL, which unlike Claude Code's ends in /v1. After a denied tool the model goes
 * on, as with Claude Code, instead of ending the turn.
 */
const config = (baseUrl: string): string =>
  JSON.stringify({
    autoupdate: false,
    share: 'disabled',
    snapshot: false,
    experimental: { continue_loop_on_deny: true },
    ...(baseUrl === '' ? {} : { provider: { anthropic: { options: { baseURL: baseUrl } } } }),
  })

/**
 * Without installed dependencies in its configuration directory, the server fetches a package that only plugins need. A fresh HOME therefore gets a
 * directory that looks installed; an existing directory is not changed.
 */
const noInstall = `rdev_dir="\${XDG_CONFIG_HOME:-$HOME/.config}/opencode"
if [ ! -e "$rdev_dir" ]; then
  mkdir -p "$rdev_dir/node_modules" && printf '%s\\n' ${quote(
    JSON.stringify({ lockfileVersion: 3, packages: { '': { dependencies: { '@opencode-ai/plugin': '*' } } } }),
  )} >"$rdev_dir/package-lock.json"
fi
unset rdev_dir
`

const here = '@rdev-base-url@'

/** The script of the server's process. If the pod has set OPENCODE_CONFIG_CONTENT, it is not changed. */
export function openCodeScript(password: string): string {
  const [before, after] = config(here).split(here) as [string, string]
  return `printf '%s\\n' ${quote(`${passwordLine}${password}`)}
${exportAll({ ...quiet, OPENCODE_SERVER_PASSWORD: password })}${noInstall}if [ -z "\${OPENCODE_CONFIG_CONTENT:-}" ]; then
  rdev_url=\${ANTHROPIC_BASE_URL:-}
  rdev_url=\${rdev_url%/}
  case "$rdev_url" in
    '' | *[\\"\\\\]*) OPENCODE_CONFIG_CONTENT=${quote(config(''))} ;;
    */v1) OPENCODE_CONFIG_CONTENT=${quote(before)}$rdev_url${quote(after)} ;;
    *) OPENCODE_CONFIG_CONTENT=${quote(before)}$rdev_url/v1${quote(after)} ;;
  esac
  unset rdev_url
  export OPENCODE_CONFIG_CONTENT
fi
exec opencode serve --hostname 127.0.0.1 --port 0
`
}
