// The contract of starts: a start whose answer is lost, wrong or late never runs after it was refused or told as failed.

import { expect, test } from 'vitest'
import type { PodHost } from '../../ports.ts'
import { type attemptOf, losingAnswers, never } from './judge.ts'

export function startContract(setup: (host?: PodHost) => ReturnType<typeof attemptOf>, host: () => PodHost): void {
  test('a start whose answer was lost is told as started when it is repeated, and runs once', async () => {
    const lossy = losingAnswers(host(), 'started')
    const { pod, attempt, ledger, directories, start, sh, ended } = setup(lossy.host)
    expect(await start(`echo run >>${ledger}; exec sleep 0.1`)).toEqual({ outcome: 'started' })
    expect(lossy.lost()).toBe(1)
    expect(await directories.start(pod, attempt, { script: 'exec true', stdin: '', timeout_s: 5 })).toEqual({ outcome: 'exists' })
    await ended()
    expect(await sh(`cat ${ledger}`)).toBe('run')
  })

  // Found by the simulator: a start failed on a full disk, an earlier try of it found room later, and an attempt that was told as not started
  // ran.
  test('a start that failed is told as existing if another try of it succeeded, also when that has ended', async () => {
    const wrong = losingAnswers(host(), 'started', 'failed no room')
    const { ledger, start, sh, ended } = setup(wrong.host)
    expect(await start(`echo run >>${ledger}; exec sleep 0.1`)).toEqual({ outcome: 'exists' })
    expect(wrong.lost()).toBe(1)
    expect(await ended()).toMatchObject({ reason: 'exited', exit_code: 0 })
    expect(await sh(`cat ${ledger}`)).toBe('run')
  })

  test('an attempt that failed to start cannot be started any more', async () => {
    const { pod, attempt, start, directories, sh } = setup()
    await sh(`: >"\${RDEV_HOME:-$HOME/.rdev}/attempts/${attempt}"`)
    expect(await start('exec true')).toMatchObject({ outcome: 'failed' })
    await sh(`rm "\${RDEV_HOME:-$HOME/.rdev}/attempts/${attempt}"`)
    expect(await start('exec true')).toEqual({ outcome: 'floor' })
    expect(await start('exec true', { attempt: 2 })).toEqual({ outcome: 'started' })
    await directories.stop(pod, attempt.replace(/1$/, '2'), 0, 'stopped')
  })

  test('an attempt that was refused is never started; one that exists stays, whatever its state', async () => {
    const { pod, task, attempt, start, directories, ended } = setup()
    expect(await directories.refuse(pod, attempt)).toBe('refused')
    expect(await directories.refuse(pod, attempt)).toBe('refused')
    expect(await start('exec true')).toEqual({ outcome: 'floor' })
    expect(await start('exec sleep 600', { attempt: 2 })).toEqual({ outcome: 'started' })
    expect(await directories.refuse(pod, `${task}.2`)).toBe('there')
    await directories.stop(pod, `${task}.2`, 0, 'stopped')
    expect(await directories.refuse(pod, `${task}.2`)).toBe('there')
    expect(await directories.ended(pod, `${task}.2`, never)).toMatchObject({ reason: 'stopped' })
    await expect(ended()).rejects.toThrow('has no attempt')
  })

  // Found by the simulator: an agent that was stopped for a minute started the attempt in a later pod of the same name; it had run in the earlier.
  test('a process meant for another home is not started, and the home keeps its name', async () => {
    const { pod, start, directories, open } = setup()
    const { home } = await directories.list(pod)
    expect(home).toMatch(/^[0-9a-f-]{36}$/)
    expect((await open().list(pod)).home).toBe(home)
    expect(await start('exec true', { home: crypto.randomUUID() })).toMatchObject({ outcome: 'failed' })
    expect(await start('exec true', { home })).toEqual({ outcome: 'floor' })
    expect(await start('exec true', { attempt: 2, home })).toEqual({ outcome: 'started' })
  })

  test('a home that lost its id gets another one; an id that could not be written is written later', async () => {
    const { pod, directories, sh, start } = setup()
    const name = '"${RDEV_HOME:-$HOME/.rdev}/name"'
    const { home } = await directories.list(pod)
    await sh(`rm ${name}`)
    expect(await start('exec true', { home })).toMatchObject({ outcome: 'failed' })
    await sh(`: >${name}`)
    const next = await directories.list(pod)
    expect(next.home).toMatch(/^[0-9a-f-]{36}$/)
    expect(next.home).not.toBe(home)
  })

  test('what a task wrote into the home or removed from it changes nothing of later starts', async () => {
    const { pod, task, attempt, start, directories, open, sh, ended } = setup()
    const rdev = '"${RDEV_HOME:-$HOME/.rdev}"'
    // Everything in the home that a shell could read as its program, and a folder where another build kept one.
    await start(
      `mkdir -p ${rdev}/lib; for file in ${rdev}/lib/x ${rdev}/*.sh ${rdev}/*/*.sh; do echo 'echo changed; exit 7' >"$file"; done`,
    )
    await ended()
    const later = open()
    expect(await later.start(pod, `${task}.2`, { script: 'exec true', stdin: '', timeout_s: 60 })).toEqual({ outcome: 'started' })
    expect(await later.ended(pod, `${task}.2`, never)).toMatchObject({ reason: 'exited', exit_code: 0 })

    await sh(`rm -rf ${rdev}/attempts ${rdev}/floors ${rdev}/incoming ${rdev}/locks ${rdev}/lib ${rdev}/spare ${rdev}/*.sh`)
    const large = 'x'.repeat(200_000)
    for (const [number, agent] of [directories, open()].entries()) {
      const name = `${task}.${number + 3}`
      const process = { script: 'wc -c; exit 3', stdin: large, timeout_s: 60, lock: `again.${attempt}` }
      expect(await agent.start(pod, name, process)).toEqual({ outcome: 'started' })
      expect(await agent.ended(pod, name, never)).toMatchObject({ reason: 'exited', exit_code: 3, stdout_bytes: 7 })
    }
  })
}
