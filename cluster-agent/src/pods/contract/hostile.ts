// The contract of a home whose files a task has changed: what it put there blocks nobody, runs nowhere, and ends no attempt but its own. Every
// script in here is harmless outside of its pod. What one task can do to another by signals, which no library can forbid, is in docs/hostile.md.

import { expect, test } from 'vitest'
import { type attemptOf, collect, never, until } from './judge.ts'

const rdev = '"${RDEV_HOME:-$HOME/.rdev}"'
const mine = `${rdev}/attempts/"$RDEV_ATTEMPT"`
/** Ends the supervisor of this script and its guard, but no process of the attempt. */
const alone = 'for pid in $(cat /proc/$PPID/task/*/children); do [ $pid = $$ ] || kill -9 $pid; done; kill -9 $PPID'
/** As a task that wants to outlive its attempt does: a cleared environment, a session of its own. It ends by itself. */
const away = (script: string, argument: string) =>
  `env -i HOME="$HOME" PATH="$PATH" setsid sh -c '${script}' away "${argument}" </dev/null >/dev/null 2>&1 &`

export function hostileContract(setup: () => ReturnType<typeof attemptOf>): void {
  /** A process starts, has its end, and its directory goes. */
  async function works({ directories, pod, task }: ReturnType<typeof attemptOf>, attempt: number, lock?: string): Promise<void> {
    const name = `${task}.${attempt}`
    const process = { script: 'cat; exit 3', stdin: 'in', timeout_s: 60, lock }
    expect(await directories.start(pod, name, process)).toEqual({ outcome: 'started' })
    const { stdout } = await collect(directories.follow(pod, name, { stdout: 0, stderr: 0 }, never))
    expect(stdout.toString()).toBe('in')
    expect(await directories.ended(pod, name, never)).toMatchObject({ exit_code: 3, reason: 'exited' })
    await directories.remove(pod, name)
  }

  const folders = ['attempts', 'floors', 'incoming', 'spare', 'locks']
  test.each([
    ['removed', (folder: string) => `rm -rf ${folder}`],
    ['replaced by files', (folder: string) => `rm -rf ${folder}; echo x >${folder}`],
    ['replaced by links to nowhere', (folder: string) => `rm -rf ${folder}; ln -s /nowhere/at/all ${folder}`],
    ['closed', (folder: string) => `chmod 000 ${folder}`],
  ])('folders of the home that were %s are made again', async (_what, change) => {
    const it = setup()
    for (const [number, folder] of folders.entries()) {
      await it.sh(`cd ${rdev} && ${change(folder)}`)
      await works(it, number + 1, 'hostile.folders')
    }
    await it.sh(`cd ${rdev}/.. && ${change('"${RDEV_HOME:-$HOME/.rdev}"')}`)
    await works(it, 9)
    expect((await it.directories.list(it.pod)).home).toMatch(/^[0-9a-f-]{36}$/)
  })

  test.each([
    ['fifos', (file: string) => `rm -rf ${file}; mkfifo ${file}`],
    ['directories', (file: string) => `rm -rf ${file}; mkdir ${file}; : >${file}/x`],
    ['devices without an end', (file: string) => `rm -rf ${file}; ln -s /dev/zero ${file}`],
    ['nonsense', (file: string) => `rm -rf ${file}; echo 'x [ 09 a[0] *' >${file}`],
  ])('%s in the place of files of the home block nobody', async (_what, change) => {
    const it = setup()
    const { task } = it
    const beside = await it.start('until [ -e "$HOME/go.$RDEV_ATTEMPT" ]; do sleep 0.1; done; exit 5', { attempt: 20 })
    expect(beside).toEqual({ outcome: 'started' })
    const all = ['contact', 'name', `floors/${task}`, 'locks/hostile.files@0123456789abcdef', 'attempts/x.1']
    await it.sh(`cd ${rdev} && ${all.map(change).join('; ')}; ${change('attempts/supervisor')}`)
    const own = ['supervisor', 'heartbeat', 'followers', 'reason', 'note.x', 'room', 'alone'].map((file) => change(`${mine}/${file}`))
    expect(await it.start(`echo up; echo up >&2; ${own.join('; ')}; exit 4`, { attempt: 21 })).toEqual({ outcome: 'started' })
    expect(await it.directories.ended(it.pod, `${task}.21`, never)).toMatchObject({ stdout_bytes: 3 })
    expect((await it.directories.list(it.pod)).attempts.length).toBeGreaterThanOrEqual(2)
    await it.directories.readNote(it.pod, `${task}.21`, 'x')
    await it.directories.remove(it.pod, `${task}.21`)
    await works(it, 22, 'hostile.files')
    await it.sh(`: >"$HOME/go.${task}.20"`)
    expect(await it.directories.ended(it.pod, `${task}.20`, never)).toMatchObject({ exit_code: 5, reason: 'exited' })
  })

  test.each([
    ['a fifo', 'mkfifo'],
    ['a device', 'ln -s /dev/zero'],
    ['a directory', 'mkdir'],
    ['nothing', ':'],
  ])('an attempt that puts %s in the place of its stdout ends', async (_what, make) => {
    const { start, ended, follow, directories, pod, attempt } = setup()
    await start(`echo up >&2; rm ${mine}/stdout; ${make} ${mine}/stdout; exit 4`)
    expect(await ended()).toMatchObject({ exit_code: 4, stdout_bytes: 0, stderr_bytes: 3, reason: 'exited' })
    expect((await collect(follow())).stderr.toString()).toBe('up\n')
    await directories.remove(pod, attempt)
  })

  test.each([
    ['its begin', `echo 'x 09 [ a[0]' >${mine}/begun`],
    ['its end', `echo 'stopped 99999999999999 99999999999999' >${mine}/reason`],
    ['its end, in words', `echo '","x":" a[0] 09' >${mine}/reason`],
    ['its record in a closed folder', `mkdir -p ${mine}/exit/x ${mine}/exit.next/x; chmod 000 ${mine}/exit ${mine}/exit.next`],
    ['its directory', `chmod 000 ${mine}`],
  ])('an attempt that changes %s ends, and its processes with it', async (_what, script) => {
    const { start, ended, tree, directories, pod, attempt } = setup()
    await start(`echo up; ${script}; setsid sleep 600 & exit 4`)
    expect((await ended())?.reason).toMatch(/^(exited|stopped|supervisor_died|container_gone)$/)
    expect(await tree()).toEqual([])
    await directories.remove(pod, attempt)
  })

  test('a word in a file of the home is never run', async () => {
    const it = setup()
    const ran = '"$HOME/ran"'
    await it.sh(
      `cd ${rdev} && echo x >"locks/hostile.word@x'; : >ran; '" && echo 'a[$(: >~/ran)]' >contact && mkdir attempts/z.1 && ` +
        `echo 'a[$(: >~/ran)] 0123456789abcdef a[$(: >~/ran)] x' >attempts/z.1/supervisor && echo z.1 >locks/hostile.word@0123456789abcdef`,
    )
    await it.start(`for file in begun reason room; do echo 'a[$(: >~/ran)] a[$(: >~/ran)]' >${mine}/$file; done`)
    await it.ended()
    await works(it, 2, 'hostile.word')
    await it.directories.list(it.pod)
    expect(await it.sh(`[ ! -e ${ran} ] || echo ran; cd ${rdev}; rm -rf ${ran} attempts/z.1 locks/hostile.word@*`)).toBe('')
  })

  test('a supervisor file with a pattern for another attempt ends nothing of that', async () => {
    const it = setup()
    await it.start('exec sleep 600', { attempt: 2 })
    await it.start('exec sleep 600', { attempt: 3 })
    await it.sh(
      `cd ${rdev}/attempts && read -r pid slot sid owner <${it.task}.2/supervisor && ` +
        `echo "$pid $slot ($sid|$sid) $owner" >${it.task}.3/supervisor`,
    )
    await it.directories.stop(it.pod, `${it.task}.3`, 0, 'stopped')
    expect(await it.tree(3)).toEqual([])
    expect((await it.tree(2)).length).toBeGreaterThan(0)
    await it.directories.stop(it.pod, `${it.task}.2`, 0, 'stopped')
  })

  test('a directory that became a link to that of another attempt leaves the other whole', async () => {
    const it = setup()
    await it.start('echo whole; exec sleep 600', { attempt: 2 })
    const other = `${rdev}/attempts/${it.task}.2`
    await until(async () => (await it.sh(`cat ${other}/stdout`)) === 'whole')
    await it.start(`rm -rf ${mine}; ln -s ${other} ${mine}; exec sleep 600`, { attempt: 3 })
    await it.directories.stop(it.pod, `${it.task}.3`, 0, 'stopped')
    await it.directories.remove(it.pod, `${it.task}.3`)
    expect(await it.tree(3)).toEqual([])
    expect(await it.sh(`cat ${other}/stdout`)).toBe('whole')
    expect((await it.tree(2)).length).toBeGreaterThan(0)
    await it.directories.stop(it.pod, `${it.task}.2`, 0, 'stopped')
  })

  test('an attempt that removes its directory and ends its guard leaves no process', async () => {
    const { start, ended, tree, follow, sh, attempt } = setup()
    await start(
      `echo up; until [ -e "$HOME/go.$RDEV_ATTEMPT" ]; do sleep 0.1; done; rm -rf ${mine}; ${alone}; setsid sleep 600 & exec sleep 600`,
    )
    const end = ended().catch(String)
    for await (const _ of follow()) break
    await sh(`: >"$HOME/go.${attempt}"`)
    expect(await end).toContain('has no attempt')
    expect(await tree()).toEqual([])
  })

  test('the end of an attempt is told though another process holds the fifo of its supervisor open', async () => {
    const { start, ended, sh, attempt } = setup()
    await start(
      `read -r pid slot rest <${mine}/supervisor; ${away(`exec 3<>"$1"; echo $$ >"$1.away"; exec sleep 600`, '${RDEV_HOME:-$HOME/.rdev}/spare/$slot.alive')} ` +
        `until [ -s ${rdev}/spare/$slot.alive.away ]; do sleep 0.1; done; mv ${rdev}/spare/$slot.alive.away "$HOME/away.$RDEV_ATTEMPT"; exit 4`,
    )
    expect(await ended()).toMatchObject({ exit_code: 4, reason: 'exited' })
    // No sign of the attempt is left in that process: nobody but who knows it can end it.
    await sh(`read -r pid <"$HOME/away.${attempt}"; kill -9 "$pid"`)
  })

  test('a task in the place of its supervisor does not outlast a stop', async () => {
    const { start, ended, tree, directories, pod, attempt, follow } = setup()
    await start(
      `read -r pid slot sid owner <${mine}/supervisor; exec 3<>${rdev}/spare/$slot.alive; sh -c 'sleep 600; :' rdev $slot & ` +
        `echo "$! $slot $sid $owner" >${mine}/supervisor; ${alone}; echo up; trap '' INT TERM; while :; do sleep 1; done`,
    )
    for await (const _ of follow()) break
    await directories.stop(pod, attempt, 0, 'cancelled')
    expect(await tree()).toEqual([])
    expect(await ended()).toMatchObject({ stdout_bytes: 3 })
  })

  test('a supervisor that was stopped does not hold up a stop', async () => {
    const { start, ended, tree, directories, pod, attempt, follow, sh } = setup()
    await start(
      `read -r pid slot rest <${mine}/supervisor; echo "$slot" >"$HOME/slot.$RDEV_ATTEMPT"; ` +
        `for pid in $(cat /proc/$PPID/task/*/children); do [ $pid = $$ ] || kill -STOP $pid; done; kill -STOP $PPID; echo up; exec sleep 600`,
    )
    for await (const _ of follow()) break
    await directories.stop(pod, attempt, 0, 'cancelled')
    expect(await tree()).toEqual([])
    expect(await ended()).toMatchObject({ stdout_bytes: 3, reason: 'supervisor_died' })
    // No process stays stopped for ever.
    await until(async () => (await sh(`grep -lzxFf "$HOME/slot.${attempt}" /proc/[0-9]*/cmdline 2>/dev/null | wc -l`)) === '0')
  })

  test('what was written to the fifos of waiting supervisors, and who holds them open, does not stop the next start', async () => {
    const it = setup()
    await it.start(
      `for fifo in ${rdev}/spare/*.orders; do exec 3<>"$fifo"; printf "junk '\\n\\n" >&3; setsid sleep 600 & done; echo up; exec sleep 600`,
      { attempt: 2 },
    )
    for await (const _ of it.directories.follow(it.pod, `${it.task}.2`, { stdout: 0, stderr: 0 }, never)) break
    await works(it, 3)
    await works(it, 4)
    await it.directories.stop(it.pod, `${it.task}.2`, 0, 'stopped')
  })

  test('a lock that a task took without being an attempt is nobody’s', async () => {
    const it = setup()
    await it.sh(
      `cd ${rdev}; mkdir -p locks attempts/y.1; echo '1 0123456789abcdef 1 x' >attempts/y.1/supervisor; echo y.1 >locks/hostile.lock@0123456789abcdef; ` +
        `echo '/../x' >locks/hostile.lock@00; echo 'y....' >locks/hostile.lock@01; i=0; while [ $i -lt 300 ]; do echo y >locks/hostile.lock@10$i; i=$((i+1)); done`,
    )
    await works(it, 1, 'hostile.lock')
    await it.sh(`cd ${rdev}; rm -rf attempts/y.1 locks/hostile.lock@*`)
  })

  test('a directory that was there before its attempt, with files of every name, changes nothing of it', async () => {
    const it = setup()
    await it.sh(
      `mkdir -p ${rdev}/attempts/${it.attempt} && cd ${rdev}/attempts/${it.attempt} && mkfifo stdout && mkdir stderr exit.next && ` +
        `echo '0 0 0 0' >begun && echo 'cancelled 0 0' >reason && ` +
        `echo '{"exit_code":0,"stdout_bytes":0,"stderr_bytes":0,"started_at":1,"ended_at":2,"reason":"cancelled"}' >exit`,
    )
    await works(it, 1)
  })

  test('thousands of files in the folder of waiting supervisors do not keep a pod from answering', async () => {
    const it = setup()
    await it.sh(`cd ${rdev}/spare && i=1000; while [ $i -lt 4000 ]; do : >"00000000000${'$'}{i}f.alive"; i=$((i+1)); done`)
    const other = it.open()
    await other.touch(it.pod)
    expect(Number(await it.sh(`ls ${rdev}/spare | grep -c '^00000000000'; rm -f ${rdev}/spare/00000000000*`))).toBeLessThan(3000)
  })

  test('a file without end in the place of a supervisor’s does not keep a pod from being listed', async () => {
    const it = setup()
    await it.sh(`cd ${rdev}; mkdir attempts/w.1; dd if=/dev/zero of=attempts/w.1/supervisor bs=1 count=1 seek=3000000000 2>/dev/null`)
    await it.directories.list(it.pod)
    await it.sh(`rm -rf ${rdev}/attempts/w.1`)
  })
}
