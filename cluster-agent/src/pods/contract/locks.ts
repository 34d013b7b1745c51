// The contract of locks: at most one live attempt holds a lock, whichever agents start attempts and however its holder ended.

import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { quote } from '../../sh.ts'
import { libraryText } from '../library.ts'
import { type attemptOf, killSupervisor, never, until } from './judge.ts'

export function lockContract(setup: () => ReturnType<typeof attemptOf>): void {
  const newLock = () => `lock.${randomBytes(6).toString('hex')}`

  test('a lock has one holder, from its start until nothing of it is left', async () => {
    const { pod, task, directories, start, sh } = setup()
    const lock = newLock()
    expect(await start('exec sleep 600', { lock })).toEqual({ outcome: 'started' })
    expect(await start('exec true', { lock, attempt: 2 })).toEqual({ outcome: 'busy', holder: `${task}.1` })
    // The attempt that did not get it leaves nothing, and its task may come again. Other locks are not concerned.
    expect((await directories.list(pod)).attempts.filter(({ task_id }) => task_id === task)).toMatchObject([{ attempt: 1 }])
    expect(await start('exec true', { lock, attempt: 2 })).toEqual({ outcome: 'floor' })
    expect(await start('exec true', { lock: `${lock}.x`, attempt: 3 })).toEqual({ outcome: 'started' })
    expect(await start('exec true', { attempt: 4 })).toEqual({ outcome: 'started' })
    await directories.stop(pod, `${task}.1`, 0, 'stopped')
    expect(await start('exec sleep 600', { lock, attempt: 5 })).toEqual({ outcome: 'started' })
    expect(await start('exec true', { lock, attempt: 6 })).toEqual({ outcome: 'busy', holder: `${task}.5` })
    // Lock files of ended attempts are removed.
    await until(async () => (await sh(`ls "\${RDEV_HOME:-$HOME/.rdev}/locks" | grep -c '^${lock}@'`)) === '1')
    await directories.stop(pod, `${task}.5`, 0, 'stopped')
    await directories.remove(pod, `${task}.5`)
    expect(await start('exec true', { lock, attempt: 7 })).toEqual({ outcome: 'started' })
  })

  test('a repeated start of the attempt that holds the lock answers started', async () => {
    const { pod, attempt, directories, start } = setup()
    const lock = newLock()
    await start('exec sleep 600', { lock })
    expect(await start('exec true', { lock })).toEqual({ outcome: 'exists' })
    await directories.stop(pod, attempt, 0, 'stopped')
  })

  test('when many attempts of several agents race for a lock, never two hold it at once', async () => {
    const { pod, task, ledger, open, sh } = setup()
    const lock = newLock()
    const agents = [open(), open(), open()]
    // The holder must be alone: its mkdir fails if it is not.
    const alone = `"$HOME/${task}.alone"`
    const script = `mkdir ${alone} || echo two >>${ledger}; echo run >>${ledger}; sleep 0.05; rmdir ${alone}`
    // Different tasks, because the floor orders the attempts of one task.
    const other = (round: number, i: number) => `${task.slice(0, -4)}${(1000 + round * 50 + i).toString()}.1`
    let started = 0
    for (let round = 0; round < 6; round++) {
      const names = Array.from({ length: 6 }, (_, i) => other(round, i))
      const outcomes = await Promise.all(
        names.map((name, i) => agents[i % 3]!.start(pod, name, { script, stdin: '', timeout_s: 60, lock })),
      )
      for (const { outcome } of outcomes) expect(['started', 'busy']).toContain(outcome)
      const winners = names.filter((_, i) => outcomes[i]!.outcome === 'started')
      started += winners.length
      await Promise.all(winners.map((name) => agents[0]!.ended(pod, name, never)))
    }
    expect(started).toBeGreaterThan(0)
    const lines = (await sh(`cat ${ledger}`)).split('\n')
    expect(lines).toEqual(Array.from({ length: started }, () => 'run'))
  })

  test('two attempts want a lock and did not see each other in time: the one that looks last withdraws', async () => {
    const { task, start, ended, sh } = setup()
    const lock = newLock()
    await start('exec true')
    await ended()
    // The steps of a start one at a time, in an order that is rare in a race.
    const lines = await sh(`eval ${quote(libraryText('start'))}
      sign() {
        mkdir "$r_home/attempts/$1"
        sh -c 'sleep 600; :' rdev "$2" &
        until grep -q "$2" "/proc/$!/cmdline"; do sleep 0.01; done # it has its words when it is that program
        echo "$! $2 1 owner" >"$r_home/attempts/$1/supervisor"
      }
      a=${task}.8 b=${task}.9 file=$r_home/locks/${lock}
      sign $a a0; sign $b b0; r_warm=b0
      : >"$file@a0" # a has made its file, and not written it yet
      r_hold ${lock} $b && echo "b holds, and sweeps [$r_dead]"
      echo "$a" >"$file@a0"
      r_rivals ${lock} a0 && echo "a finds $r_holder"
      rm "$file@b0"
      r_rivals ${lock} a0 || echo "a holds"
      r_hold ${lock} $b || echo "b finds $r_holder"
      echo "${task}.1" >"$file@01d"
      : >"$r_home/attempts/$a/exit"
      r_hold ${lock} $b && echo "b holds, and sweeps [$r_dead]"
      rm -r "$file"@* "$r_home/attempts/$a" "$r_home/attempts/$b"`)
    expect(lines.split('\n')).toEqual([
      'b holds, and sweeps []',
      `a finds ${task}.9`,
      'a holds',
      `b finds ${task}.8`,
      `b holds, and sweeps [ ${lock}@01d ${lock}@a0]`,
    ])
  })

  test('a lock whose holder was killed together with its supervisor is free once its end is written', async () => {
    const { pod, task, attempt, directories, start, sh, ended } = setup()
    const lock = newLock()
    await start('setsid sleep 600 & exec sleep 600', { lock })
    await sh(killSupervisor(attempt))
    expect(await ended()).toMatchObject({ reason: 'supervisor_died' })
    expect(await start('exec sleep 600', { lock, attempt: 2 })).toEqual({ outcome: 'started' })
    await directories.stop(pod, `${task}.2`, 0, 'stopped')
  })

  test('a lock file that is empty, or names an attempt that does not exist or was started again, does not block the lock', async () => {
    const { pod, task, directories, start, sh } = setup()
    const lock = newLock()
    const file = (slot: string, text: string) =>
      sh(`mkdir -p "\${RDEV_HOME:-$HOME/.rdev}/locks" && printf '${text}' >"\${RDEV_HOME:-$HOME/.rdev}/locks/${lock}@${slot}"`)
    await start('exec sleep 600', { attempt: 1 })
    await file('a', '')
    await file('b', `${task}.99\\n`)
    await file('of-an-earlier-start', `${task}.1\\n`)
    expect(await start('exec sleep 600', { lock, attempt: 2 })).toEqual({ outcome: 'started' })
    for (const attempt of [1, 2]) await directories.stop(pod, `${task}.${attempt}`, 0, 'stopped')
  })
}
