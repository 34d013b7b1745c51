// The contract when the supervisor of an attempt dies: no process of the attempt goes on, and the exit record says what is known.

import { expect, test } from 'vitest'
import { type attemptOf, collect, killSupervisor, never, until } from './judge.ts'

export function supervisorContract(setup: () => ReturnType<typeof attemptOf>): void {
  test('a killed supervisor is found at once: the tree is killed, the record says so, the output is whole', async () => {
    const { start, follow, sh, attempt, ended, tree } = setup()
    await start('echo up; setsid sleep 600 & exec sleep 600')
    const waiting = ended()
    const { stdout } = await collect(follow(), { stdout: 0, stderr: 0 }, async (length) => {
      if (length === 3) await sh(killSupervisor(attempt))
    })
    expect(stdout.toString()).toBe('up\n')
    expect(await waiting).toMatchObject({ exit_code: -1, stdout_bytes: 3, reason: 'supervisor_died' })
    expect(await tree()).toEqual([])
  })

  test('an attempt of an earlier life of its container, found on a volume that outlived it, ended with that container', async () => {
    const { start, follow, sh, attempt, ended } = setup()
    await start('echo up; exec sleep 600')
    for await (const _ of follow()) break
    // Another life of the container. How lives are told apart is tested where containers really end: e2e/chaos/cluster.
    await sh(`cd "\${RDEV_HOME:-$HOME/.rdev}/attempts/${attempt}"; read -r at slot life <begun; echo "$at $slot not$life" >begun`)
    await sh(killSupervisor(attempt))
    expect(await ended()).toMatchObject({ exit_code: -1, stdout_bytes: 3, reason: 'container_gone' })
  })

  test('after a killed supervisor nothing is left of a script that is itself the main process', async () => {
    const { start, follow, sh, attempt, ended, ledger } = setup()
    await start(`echo up; f() { sleep 0.1; }; (while :; do f; done) & while :; do f; echo run >>${ledger}; done`)
    for await (const _ of follow()) break
    await sh(killSupervisor(attempt))
    expect(await ended()).toMatchObject({ exit_code: -1, reason: 'supervisor_died' })
    const count = `wc -l <${ledger}`
    expect(await sh(`a=$(${count}); sleep 0.5; [ "$a" = "$(${count})" ] && echo silent`)).toBe('silent')
  })

  test('when a supervisor is killed and no agent is there, its guard ends the attempt', async () => {
    const { start, sh, attempt, directories, open, pod } = setup()
    await start('exec sleep 600')
    await until(async () => (await sh(`ls "\${RDEV_HOME:-$HOME/.rdev}/attempts/${attempt}"`)).includes('heartbeat'))
    await sh(killSupervisor(attempt))
    await directories.close()
    const later = open()
    await until(async () => (await later.run(pod, `cat "\${RDEV_HOME:-$HOME/.rdev}/attempts/${attempt}/exit"`, 5_000)).exit_code === 0)
    expect(await later.ended(pod, attempt, never)).toMatchObject({ reason: 'supervisor_died' })
  })
}
