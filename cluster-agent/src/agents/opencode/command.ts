import { exportAll, quote } from '../../sh.ts'
import { knownModels } from './known-models.ts'
import { distrust } from './settings.ts'

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
  // Nobody opens its page.
  OPENCODE_DISABLE_EMBEDDED_WEB_UI: '1',
  OPENCODE_CLIENT: 'rdev',
}

/** What stands in the configuration that the script fills. */
const here = '@rdev-base-url@'
const instructions = '@rdev-instructions@'

/**
 * The kind of subagent that only looks around would get the task's edits by its rules, which come after those of the kind.
 */
const explore = { permission: { edit: 'deny' } }

/**
 * OpenCode reads the key from ANTHROPIC_API_KEY, but not the base URL, which unlike Claude Code's ends in /v1. After a denied tool the model goes
 * on, as with Claude Code, instead of ending the turn.
 */
const config = (baseUrl: string): string =>
  JSON.stringify({
    instructions: [instructions],
    autoupdate: false,
    share: 'disabled',
    snapshot: false,
    experimental: { continue_loop_on_deny: true },
    agent: { explore },
    ...(baseUrl === '' ? {} : { provider: { anthropic: { options: { baseURL: baseUrl } } } }),
  })

const lock = JSON.stringify({ lockfileVersion: 3, packages: { '': { dependencies: { '@opencode-ai/plugin': '*' } } } })

/**
 * Without installed dependencies in a configuration directory, the server fetches a package that only plugins and tools need. A fresh HOME
 * therefore gets a directory that looks installed. So does a workspace's `.opencode` (here and above, up to the repository) that has neither
 * plugins nor tools nor packages of its own, if it is read; the server writes a `.gitignore` there that hides what is added.
 */
const noInstall = `rdev_mark() { mkdir -p "$1/node_modules" && printf '%s\\n' ${quote(lock)} >"$1/package-lock.json"; }
rdev_dir="\${XDG_CONFIG_HOME:-$HOME/.config}/opencode"
[ -e "$rdev_dir" ] || rdev_mark "$rdev_dir"
rdev_mark_plain() {
  [ -d "$1" ] || return 0
  for rdev_name in node_modules package.json package-lock.json bun.lock plugin plugins tool tools; do
    if [ -e "$1/$rdev_name" ] || [ -L "$1/$rdev_name" ]; then return 0; fi
  done
  rdev_mark "$1"
}
rdev_mark_plain "$HOME/.opencode"
unset rdev_dir rdev_name
`
const noInstallHere = `rdev_dir=$PWD
while [ -n "$rdev_dir" ]; do
  rdev_mark_plain "$rdev_dir/.opencode"
  if [ -e "$rdev_dir/.git" ]; then break; fi
  rdev_dir=\${rdev_dir%/*}
done
unset rdev_dir rdev_name
`

/**
 * A short list of models instead of the binary's own, and no plugins for logins, if nothing in the pod, or in a workspace whose settings are read,
 * can name another: no configuration, agent, login, or list that was fetched. The file is the same for all tasks of the pod, and written anew for
 * each, so none can change it for the others.
 */
const shortList = (trusted: boolean) => `rdev_config="\${XDG_CONFIG_HOME:-$HOME/.config}/opencode"
rdev_cache="\${XDG_CACHE_HOME:-$HOME/.cache}/opencode"
rdev_short=\${OPENCODE_MODELS_PATH:-}\${OPENCODE_CONFIG:-}\${OPENCODE_CONFIG_DIR:-}\${OPENCODE_CONFIG_CONTENT:-}
for rdev_name in opencode.json opencode.jsonc config.json config agent agents mode modes plugin plugins; do
  if [ -e "$rdev_config/$rdev_name" ]; then rdev_short=no; fi
done
for rdev_name in "$HOME/.opencode" "\${XDG_DATA_HOME:-$HOME/.local/share}/opencode/auth.json" "$rdev_cache/models.json" /etc/opencode; do
  if [ -e "$rdev_name" ]; then rdev_short=no; fi
done
rdev_dir=${trusted ? '$PWD' : ''}
while [ -n "$rdev_dir" ]; do
  for rdev_name in opencode.json opencode.jsonc .opencode; do
    if [ -e "$rdev_dir/$rdev_name" ]; then rdev_short=no; fi
  done
  if [ -e "$rdev_dir/.git" ]; then break; fi
  rdev_dir=\${rdev_dir%/*}
done
if [ -z "$rdev_short" ] && mkdir -p "$rdev_cache" &&
  printf '%s\\n' ${quote(JSON.stringify(knownModels))} >"$rdev_cache/rdev-models.$$" &&
  mv "$rdev_cache/rdev-models.$$" "$rdev_cache/rdev-models.json"; then
  export OPENCODE_MODELS_PATH="$rdev_cache/rdev-models.json" OPENCODE_DISABLE_DEFAULT_PLUGINS=1
fi
unset rdev_config rdev_cache rdev_short rdev_dir rdev_name
`

interface ScriptOptions {
  readonly password: string
  /** It is merged over every configuration, the workspace's too. */
  readonly permission: object
  /** The task needs no other models than those of known-models.ts. */
  readonly knownModel: boolean
  /** The repository's own settings count. */
  readonly trusted: boolean
}

/** The configuration with its base URL as sh text: quoted words around what the script found. */
const filled = (baseUrl: string, url: string): string => {
  const [before, after] = config(baseUrl).split(`"${instructions}"`) as [string, string]
  return `${quote(before)}$rdev_instructions${after.split(here).map(quote).join(url)}`
}

/**
 * The script of the server's process. If the pod has set OPENCODE_CONFIG_CONTENT, it is not changed, and the repository's instructions are named
 * in a file, if OPENCODE_CONFIG names none.
 */
export function openCodeScript({ password, permission, knownModel, trusted }: ScriptOptions): string {
  const known = knownModel ? shortList(trusted) : ''
  return `printf '%s\\n' ${quote(`${passwordLine}${password}`)}
${exportAll({ ...quiet, OPENCODE_SERVER_PASSWORD: password, OPENCODE_PERMISSION: JSON.stringify(permission) })}rdev_instructions=
${trusted ? '' : distrust}${known}${noInstall}${trusted ? noInstallHere : ''}if [ -z "\${OPENCODE_CONFIG_CONTENT:-}" ]; then
  rdev_url=\${ANTHROPIC_BASE_URL:-}
  rdev_url=\${rdev_url%/}
  case "$rdev_url" in
    '' | *[\\"\\\\]*) OPENCODE_CONFIG_CONTENT=${filled('', '')} ;;
    */v1) OPENCODE_CONFIG_CONTENT=${filled(here, '$rdev_url')} ;;
    *) OPENCODE_CONFIG_CONTENT=${filled(here, '$rdev_url/v1')} ;;
  esac
  unset rdev_url
  export OPENCODE_CONFIG_CONTENT
elif [ -n "$rdev_instructions" ] && [ -z "\${OPENCODE_CONFIG:-}" ]; then
  export OPENCODE_CONFIG="\${TMPDIR:-/tmp}/rdev-instructions.$$.json"
  printf '{"$schema":"https://opencode.ai/config.json","instructions":[%s]}\\n' "$rdev_instructions" >"$OPENCODE_CONFIG"
fi
unset rdev_instructions
exec opencode serve --hostname 127.0.0.1 --port 0
`
}
