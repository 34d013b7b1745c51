// A `sh` before the real one in the pods' PATH. When told to, it loses the answer `started` and dies, like an exec that is cut after the start.
// Everything else passes unchanged.
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'

export interface WrappedShell {
  readonly directory: string
  /** Loses the next so many answers. */
  lose(times: number): Promise<void>
  /** How many were lost since then. */
  lost(): Promise<number>
  remove(): Promise<void>
}

export async function shellThatLosesStarted(): Promise<WrappedShell> {
  const directory = await mkdtemp(`${tmpdir()}/rdev-shell-`)
  // `rm` of a file succeeds in only one shell. The filter reads byte by byte up to the answer, then copies.
  const script = `#!/bin/sh
[ "$1" = -c ] || exec /bin/sh "$@"
answers='${directory}'/answers.$$
mkfifo "$answers"
{
  rm -f "$answers"
  while IFS= read -r line; do
    if [ "$line" = started ]; then
      for token in '${directory}'/token.*; do
        if rm "$token" 2>/dev/null; then kill -9 $$; exit; fi
      done
    fi
    printf '%s\\n' "$line"
    [ "$line" != started ] || exec cat
  done
} <"$answers" &
exec /bin/sh "$@" >"$answers"
`
  await writeFile(`${directory}/sh`, script)
  await chmod(`${directory}/sh`, 0o755)
  const tokens = async () => (await readdir(directory)).filter((name) => name.startsWith('token.'))
  let wanted = 0
  return {
    directory,
    lose: async (times) => {
      wanted = times
      for (let i = 0; i < times; i++) await writeFile(`${directory}/token.${i}`, '')
    },
    lost: async () => wanted - (await tokens()).length,
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}
