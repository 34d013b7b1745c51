// What a repository's own settings may do. `opencode.json` and `.opencode` of the working directory, and of those above it up to the repository,
// may say where the model is, start servers and load code into the process that has the pod's key. Unless the pod trusts them they are not read;
// the repository's instructions are.

/** The exit code of a start that was refused. sysexits.h calls it a configuration error. */
export const refusedExit = 78

const refused = `this repository has plugins for OpenCode, which loads them in spite of its settings, and this pod does not trust them`

/**
 * sh text. OPENCODE_DISABLE_PROJECT_CONFIG covers all but two things: some versions (1.18.33) load plugins in spite of it, so their files, and
 * configurations that could name them, end the start; and it leaves out the instructions, so these are named by their paths, as OpenCode itself
 * would find them. The home's own folder is the operator's.
 */
export const distrust = `export OPENCODE_DISABLE_PROJECT_CONFIG=1
rdev_each() {
  rdev_dir=$(pwd -P)
  while [ -n "$rdev_dir" ]; do
    "$@"
    if [ -e "$rdev_dir/.git" ]; then break; fi
    rdev_dir=\${rdev_dir%/*}
  done
}
rdev_refuse() {
  if [ "$rdev_dir" = "$HOME" ]; then return 0; fi
  for rdev_name in "$rdev_dir"/.opencode/plugin/*.[jt]s "$rdev_dir"/.opencode/plugin/.*.[jt]s "$rdev_dir"/.opencode/plugins/*.[jt]s "$rdev_dir"/.opencode/plugins/.*.[jt]s; do
    if [ -e "$rdev_name" ]; then echo "${refused}: $rdev_name" >&2; exit ${refusedExit}; fi
  done
  for rdev_name in "$rdev_dir"/opencode.json "$rdev_dir"/opencode.jsonc "$rdev_dir"/.opencode/opencode.json "$rdev_dir"/.opencode/opencode.jsonc; do
    if [ -e "$rdev_name" ] && grep -Eq '"plugins?"|\\\\u' "$rdev_name"; then echo "${refused}: $rdev_name" >&2; exit ${refusedExit}; fi
  done
}
rdev_instruct() {
  case $rdev_dir in *[[:cntrl:]]*) return 0 ;; esac
  if [ -f "$rdev_dir/$1" ]; then
    rdev_instructions="$rdev_instructions\${rdev_instructions:+,}\\"$(printf %s "$rdev_dir/$1" | sed 's/[\\\\"]/\\\\&/g')\\""
  fi
}
rdev_each rdev_refuse
for rdev_file in AGENTS.md CLAUDE.md CONTEXT.md; do
  if [ -z "$rdev_instructions" ]; then rdev_each rdev_instruct "$rdev_file"; fi
done
unset rdev_dir rdev_name rdev_file
`
