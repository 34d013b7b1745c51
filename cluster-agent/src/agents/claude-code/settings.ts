// What a repository's own settings may do. Claude Code takes them from the working directory: `.claude/settings.json` may name another address of
// the model, which then gets the pod's key, and `.mcp.json` starts servers. Unless the pod trusts them, the pod's own values count over theirs and
// no server starts; instructions, skills, agents, commands and hooks of the repository stay. `--setting-sources=user` would take all of them away.

/** Variables that say where requests go, and what is trusted there. */
const pinned = [
  'ANTHROPIC_BASE_URL',
  'ANTHROPIC_BEDROCK_BASE_URL',
  'ANTHROPIC_VERTEX_BASE_URL',
  'ANTHROPIC_FOUNDRY_BASE_URL',
  'CLAUDE_CODE_USE_BEDROCK',
  'CLAUDE_CODE_USE_VERTEX',
  'CLAUDE_CODE_USE_FOUNDRY',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'ALL_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'all_proxy',
  'no_proxy',
  'NODE_EXTRA_CA_CERTS',
  'NODE_TLS_REJECT_UNAUTHORIZED',
]

/** Without a value of the pod's own, the address is the provider's. */
const usual = 'https://api.anthropic.com'

/** sh text that writes the settings into a file, because values may be secret and words of a command can be read; then the words are "$@". */
export const pinSettings = `rdev_pins=
for rdev_name in ${pinned.join(' ')}; do
  eval "rdev_value=\\\${$rdev_name-}"
  case $rdev_name$rdev_value in ANTHROPIC_BASE_URL) rdev_value=${usual} ;; esac
  case $rdev_value in *[!a-zA-Z0-9:/._,@%=-]*) rdev_value=$(printf %s "$rdev_value" | tr '\\n\\t' '  ' | sed 's/[\\\\"]/\\\\&/g') ;; esac
  rdev_pins="$rdev_pins\${rdev_pins:+,}\\"$rdev_name\\":\\"$rdev_value\\""
done
rdev_file=\${TMPDIR:-/tmp}/rdev-settings.$$.json
(umask 077 && printf '{"env":{%s}}\\n' "$rdev_pins" >"$rdev_file")
set -- --strict-mcp-config "--settings=$rdev_file"
if [ -f "$HOME/.claude.json" ] && grep -q '"mcpServers"' "$HOME/.claude.json"; then set -- "$@" "--mcp-config=$HOME/.claude.json"; fi
unset rdev_pins rdev_name rdev_value rdev_file
`
