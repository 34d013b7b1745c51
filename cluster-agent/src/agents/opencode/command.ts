import { exportAll, quote } from '../../sh.ts'

/** Said by the script itself as its first line, kept in the attempt's own file: how the password is known again after a restart of this program. */
export const passwordLine = 'rdev-opencode-password '

const quiet = {
  OPENCODE_DISABLE_AUTOUPDATE: '1',
  // The list of models in the binary is used; a pod may have no way to fetch a newer one.
  OPENCODE_DISABLE_MODELS_FETCH: '1',
  OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
  OPENCODE_DISABLE_SHARE: '1',
  // Nobody edits beside it, and nobody will ask it to undo: no watching, no snapshot of the repository at every step.
  OPENCODE_EXPERIMENTAL_DISABLE_FILEWATCHER: '1',
  OPENCODE_CLIENT: 'rdev',
}

/**
 * The provider's key is read by OpenCode from ANTHROPIC_API_KEY itself; its base URL is not, and unlike Claude Code's it ends in /v1. A model
 * tells about a denied tool and goes on, as Claude Code's does, instead of ending the turn.
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
 * A configuration directory without installed dependencies makes the server fetch a package that only plugins need. In a fresh HOME it finds one
 * that looks installed; a directory that is there already is left alone.
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

/** The script of the server's process. A configuration that the pod brings in OPENCODE_CONFIG_CONTENT is left as it is. */
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
