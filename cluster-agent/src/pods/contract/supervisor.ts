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

  const forge = (text: string) => `printf '%s\\n' '${text}' >"\${RDEV_HOME:-$HOME/.rdev}/attempts/$RDEV_ATTEMPT/exit"`
  const forged = JSON.stringify({ exit_code: 0, stdout_bytes: 0, stderr_bytes: 0, started_at: 1, ended_at: 2, reason: 'cancelled' })

  test.each([
    ['that says it was cancelled', forge(forged)],
    ['that is no record', forge('done')],
    ['of 100 kB', `i=0; x=xxxxxxxxxx; while [ $i -lt 14 ]; do x=$x$x; i=$((i+1)); done; ${forge("'$x'")}`],
  ])('a record %s, written by the task itself, is not believed: its tree is ended first', async (_what, script) => {
    const { start, sh, attempt, ended, tree } = setup()
    await start(`echo up; ${script}; setsid sleep 600 & exec sleep 600`)
    await until(async () => (await sh(`ls "\${RDEV_HOME:-$HOME/.rdev}/attempts/${attempt}"`)).includes('exit'))
    const record = await ended()
    expect(await tree()).toEqual([])
    expect(record).toMatchObject({ stdout_bytes: 3 })
    expect(record?.reason).toMatch(/^(exited|supervisor_died)$/)
    expect(record?.exit_code).not.toBe(0)
  })

  test('a record with more output than there is ends a reader all the same', async () => {
    const { start, follow, ended } = setup()
    const more = forged.replace('"stdout_bytes":0', '"stdout_bytes":4000000000')
    // The supervisor and its guard are gone before the main process is, so nobody writes another record.
    await start(
      `echo up; for pid in $(cat /proc/$PPID/task/*/children); do [ $pid = $$ ] || kill -9 $pid; done; kill -9 $PPID; ${forge(more)}`,
    )
    const { stdout } = await collect(follow())
    expect(stdout.toString()).toBe('up\n')
    expect(await ended()).toMatchObject({ stdout_bytes: 4_000_000_000 })
  })

  test('a task that writes its record and ends has the end that its supervisor saw', async () => {
    const { start, ended } = setup()
    await start(`echo up; ${forge('done')}; exit 7`)
    expect(await ended()).toMatchObject({ exit_code: 7, stdout_bytes: 3, reason: 'exited' })
  })

  test('a record that the task wrote, and a supervisor that it killed, hide no process from a stop', async () => {
    const { start, sh, pod, directories, follow, attempt, ended, tree } = setup()
    await start('echo up; exec sleep 600')
    for await (const _ of follow()) break
    await sh(`printf '%s\\n' '${forged}' >"\${RDEV_HOME:-$HOME/.rdev}/attempts/${attempt}/exit"; ${killSupervisor(attempt)}`)
    await directories.stop(pod, attempt, 1, 'cancelled')
    expect(await tree()).toEqual([])
    expect(await ended()).toMatchObject({ stdout_bytes: 3, reason: 'supervisor_died' })
  })
}
