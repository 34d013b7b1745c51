// The contract about temporary files: each attempt has a folder for them, and it goes with the attempt.

import { expect, test } from 'vitest'
import { type attemptOf, collect } from './judge.ts'

export function temporaryContract(setup: () => ReturnType<typeof attemptOf>): void {
  test('an attempt has a temporary folder of its own, which is removed with it, whatever was left there', async () => {
    const { start, follow, ended, directories, pod, attempt, sh } = setup()
    // A folder that nobody may write to, as module caches are, and a name that a shell would divide.
    const left = 'mkdir -p "$TMPDIR/cache/read only" && : >"$TMPDIR/cache/read only/file" && chmod -R a-w "$TMPDIR/cache"'
    await start(`echo "$TMPDIR"; ${left} && [ -f "$(mktemp)" ] && : >"$TMPDIR/.hidden.so"`)
    const { stdout } = await collect(follow())
    const folder = stdout.toString().trim()
    expect(folder).toContain(attempt)
    expect(await ended()).toMatchObject({ exit_code: 0 })
    await directories.remove(pod, attempt)
    expect(await sh(`ls -d '${folder}' "\${RDEV_HOME:-$HOME/.rdev}"/trash.* 2>/dev/null`)).toBe('')
  })

  test("a temporary folder that the script names itself is the script's", async () => {
    const { start, follow } = setup()
    await start('export TMPDIR=/elsewhere; exec sh -c \'echo "$TMPDIR"\'')
    expect((await collect(follow())).stdout.toString()).toBe('/elsewhere\n')
  })
}
