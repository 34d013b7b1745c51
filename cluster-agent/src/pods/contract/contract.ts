// The contract of every pod host: the same suite runs on directories of this computer and on pods of a real cluster.
// It judges by the pod itself: ledgers that processes append to, /proc, and the output files.

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAttemptDirectories } from '../attempt-directories.ts'
import { attemptOf, type ContractSetup, hardTexts, nasty, collect, never, newcomers, residents, sha256, until } from './judge.ts'
import { hostileContract } from './hostile.ts'
import { lockContract } from './locks.ts'
import { startContract } from './starts.ts'
import { supervisorContract } from './supervisor.ts'
import { temporaryContract } from './temporary.ts'

const megabyte = 1_000_000

export function podHostContract(name: string, prepare: () => Promise<ContractSetup>): void {
  describe(`pod host contract: ${name}`, () => {
    let bundle: ContractSetup
    beforeAll(async () => {
      bundle = await prepare()
    })
    afterAll(async () => {
      const directories = createAttemptDirectories(bundle.host, () => {})
      const { attempts: left } = await directories.list(bundle.pod)
      const running = left.filter(({ state }) => state === 'running')
      await Promise.all(running.map(({ task_id, attempt }) => directories.stop(bundle.pod, `${task_id}.${attempt}`, 0, 'stopped')))
      await directories.close()
      await bundle.close()
    })

    const setup = (host = bundle.host) => attemptOf(bundle, host)

    lockContract(setup)
    startContract(setup, () => bundle.host)
    supervisorContract(setup)
    hostileContract(setup)
    temporaryContract(setup)

    test('the inventory has the pod, ready', async () => {
      const pods = await new Promise<readonly string[]>((resolve) =>
        bundle.host.watch((all) => all.some(({ name: it, ready }) => it === bundle.pod && ready) && resolve(all.map((pod) => pod.name))),
      )
      expect(pods).toContain(bundle.pod)
    })

    test('a process runs in the home, gets its stdin, and its streams, exit code and times come back', async () => {
      const { start, follow, ended } = setup()
      const begun = await start(`echo "script of $HOME"; exec sh -c 'pwd; cat; echo problem >&2; exit 7'`, { stdin: 'the prompt\n' })
      expect(begun).toEqual({ outcome: 'started' })
      const { stdout, stderr } = await collect(follow())
      const [home, where, prompt] = stdout.toString().split('\n')
      expect(home).toBe(`script of ${where}`)
      expect(prompt).toBe('the prompt')
      expect(stderr.toString()).toBe('problem\n')
      const record = await ended()
      expect(record).toMatchObject({ exit_code: 7, stdout_bytes: stdout.length, stderr_bytes: 8, reason: 'exited' })
      expect(record!.ended_at).toBeGreaterThanOrEqual(record!.started_at)
      expect(record!.started_at).toBeGreaterThan(1_700_000_000_000)
    })

    test('a process inherits its three streams and nothing else, ignores no signal, and has the tag and the usual umask', async () => {
      const { start, follow, sh, attempt } = setup()
      await start('umask; echo "$RDEV_ATTEMPT"; grep SigIgn /proc/self/status; exec ls /proc/self/fd')
      const usual = await sh('umask')
      const { stdout } = await collect(follow())
      const [umask, tag, ignored, ...descriptors] = stdout.toString().trim().split('\n')
      expect([umask, tag, ignored]).toEqual([usual, attempt, 'SigIgn:\t0000000000000000'])
      // The fourth is the folder that ls reads. The library uses descriptors below 10; higher ones may come from the test's environment.
      expect(descriptors.filter((it) => Number(it) < 10)).toEqual(['0', '1', '2', '3'])
    })

    test.each([
      ['killed by a signal', 'kill -9 $$', 137],
      ['a command that is not there', 'exec /no/such/command', 127],
      ['success', 'exec true', 0],
      ['a script that is no sh', 'if', 2],
    ])('exit code: %s', async (_, script, code) => {
      const { start, ended } = setup()
      await start(script)
      expect(await ended()).toMatchObject({ exit_code: code, reason: 'exited' })
    })

    test('of many racing starts, by several agents, exactly one starts the process', async () => {
      const { pod, attempt, ledger, open, sh } = setup()
      const agents = [open(), open(), open()]
      const outcomes = await Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          agents[i % 3]!.start(pod, attempt, { script: `echo run >>${ledger}; exec sleep 0.2`, stdin: '', timeout_s: 60 }),
        ),
      )
      expect(outcomes.filter(({ outcome }) => outcome === 'started')).toHaveLength(1)
      expect(outcomes.filter(({ outcome }) => outcome === 'exists')).toHaveLength(11)
      await agents[0]!.ended(pod, attempt, never)
      expect(await sh(`cat ${ledger}`)).toBe('run')
    })

    test('an attempt below the floor is refused: a newer one started, was removed, or never existed', async () => {
      const { pod, task, directories, start } = setup()
      expect(await start('exec true', { attempt: 2 })).toEqual({ outcome: 'started' })
      expect(await start('exec true', { attempt: 1 })).toEqual({ outcome: 'floor' })
      await directories.ended(pod, `${task}.2`, never)
      await directories.remove(pod, `${task}.2`)
      expect(await start('exec true', { attempt: 2 })).toEqual({ outcome: 'floor' })
      await directories.remove(pod, `${task}.9`)
      expect(await start('exec true', { attempt: 9 })).toEqual({ outcome: 'floor' })
      expect(await start('exec true', { attempt: 10 })).toEqual({ outcome: 'started' })
    })

    test('output is exact to the byte: every byte value, UTF-8, no newline at the end', async () => {
      const { start, follow } = setup()
      const bytes = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, i) => i)), Buffer.from('Grüße 🦊\r\nlast')])
      const octal = [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
      await start(`printf '${octal}'; printf '${octal}' >&2`)
      const { stdout, stderr } = await collect(follow())
      expect(stdout.equals(bytes)).toBe(true)
      expect(stderr.equals(bytes)).toBe(true)
    })

    test('20 MB of output are delivered whole', async () => {
      const { start, follow, sh } = setup()
      await start('f="$HOME/random.$$"; head -c 20000000 /dev/urandom >"$f"; cat "$f"; sha256sum <"$f" >&2; rm "$f"')
      const { stdout, stderr } = await collect(follow())
      expect(stdout.length).toBe(20_000_000)
      expect(stderr.toString().slice(0, 64)).toBe(await sha256(stdout))
      expect(await sh('echo still here')).toBe('still here')
    })

    test('following from every offset gives exactly the rest', async () => {
      const { start, follow, ended } = setup()
      const text = 'one\ntwo\n\nthrée'
      await start(`printf '${text}'; printf '${text}' >&2`)
      await ended()
      const bytes = Buffer.from(text)
      for (let offset = 0; offset <= bytes.length; offset++) {
        const { stdout, stderr } = await collect(follow(offset, bytes.length - offset), { stdout: offset, stderr: bytes.length - offset })
        expect(stdout.toString('hex')).toBe(bytes.toString('hex', offset))
        expect(stderr.toString('hex')).toBe(bytes.toString('hex', bytes.length - offset))
      }
    })

    test('two followers of a running process see the same', async () => {
      const { start, follow } = setup()
      await start('for i in 1 2 3 4 5; do echo "line $i"; sleep 0.05; done')
      const both = await Promise.all([collect(follow()), collect(follow())])
      expect(both[0].stdout.toString()).toBe('line 1\nline 2\nline 3\nline 4\nline 5\n')
      expect(both[1].stdout.equals(both[0].stdout)).toBe(true)
    })

    test('a line is delivered while the process runs', async () => {
      const { start, follow, sh, task, ended } = setup()
      await start(`echo first; until [ -e "$HOME/${task}.go" ]; do sleep 0.02; done; echo second`)
      const seen: string[] = []
      for await (const { bytes } of follow()) {
        seen.push(bytes.toString())
        if (seen.length === 1) await sh(`touch "$HOME/${task}.go"`)
      }
      expect(seen).toEqual(['first\n', 'second\n'])
      expect(await ended()).toMatchObject({ exit_code: 0 })
    })

    test('streams cut in the middle cause no gap and no duplicate, and do not touch the process', async () => {
      const { start, follow, sh, task, ledger, ended } = setup()
      const rounds = 5
      await start(
        `echo run >>${ledger}; r=0; while [ $r -lt ${rounds} ]; do i=0; while [ $i -lt 200 ]; do echo "$r $i"; i=$((i+1)); done; echo "end $r"; ` +
          `until [ -e "$HOME/${task}.go$r" ]; do sleep 0.02; done; r=$((r+1)); done`,
      )
      let text = ''
      let at = 0
      let round = 0
      const waiting = ended()
      for await (const { stream, offset, bytes } of follow()) {
        expect([stream, offset]).toEqual(['stdout', at])
        at += bytes.length
        text += bytes.toString()
        if (!text.includes(`end ${round}\n`)) continue
        await bundle.cut()
        await sh(`touch "$HOME/${task}.go${round++}"`)
      }
      const block200 = (r: number) => `${Array.from({ length: 200 }, (_, i) => `${r} ${i}\n`).join('')}end ${r}\n`
      expect(text).toBe(Array.from({ length: rounds }, (_, r) => block200(r)).join(''))
      expect(await waiting).toMatchObject({ exit_code: 0, reason: 'exited' })
      expect(await sh(`cat ${ledger}`)).toBe('run')
    })

    test('streams cut at full speed lose nothing', async () => {
      const { start, follow } = setup()
      await start('f="$HOME/random.$$"; head -c 12000000 /dev/urandom >"$f"; sha256sum <"$f" >&2; cat "$f"; rm "$f"')
      let cuts = 0
      const { stdout, stderr } = await collect(follow(), { stdout: 0, stderr: 0 }, async (length) => {
        if (length > (cuts + 1) * 2 * megabyte) {
          cuts++
          await bundle.cut()
        }
      })
      expect(cuts).toBeGreaterThan(3)
      expect(stdout.length).toBe(12_000_000)
      expect(stderr.toString().slice(0, 64)).toBe(await sha256(stdout))
    })

    test('a reader that pauses does not fill the memory, however fast the process writes', async () => {
      const { start, follow, sh, pod, attempt, directories } = setup()
      await start('head -c 150000000 /dev/zero; exec sleep 60')
      const before = process.memoryUsage().rss
      for await (const _ of follow()) {
        await until(async () => Number(await sh(`wc -c <"\${RDEV_HOME:-$HOME/.rdev}/attempts/${attempt}/stdout"`)) === 150_000_000)
        break
      }
      expect(process.memoryUsage().rss - before).toBeLessThan(60 * megabyte)
      await directories.stop(pod, attempt, 0, 'stopped')
      await directories.remove(pod, attempt)
    })

    test('following ends when its signal aborts, and the process goes on', async () => {
      const { start, directories, pod, attempt, tree } = setup()
      await start('echo up; exec sleep 60')
      const abort = new AbortController()
      const seen: string[] = []
      for await (const { bytes } of directories.follow(pod, attempt, { stdout: 0, stderr: 0 }, abort.signal)) {
        seen.push(bytes.toString())
        abort.abort()
      }
      expect(seen).toEqual(['up\n'])
      expect(await directories.ended(pod, attempt, AbortSignal.timeout(50))).toBeUndefined()
      expect(await tree()).toHaveLength(1)
      await directories.stop(pod, attempt, 0, 'stopped')
    })

    test('the timeout kills the whole tree and says so', async () => {
      const { start, ended, tree } = setup()
      await start(`setsid sh -c 'trap "" INT TERM; while :; do sleep 1; done' & echo up; exec sleep 60`, { timeout_s: 1 })
      const record = await ended()
      expect(record).toMatchObject({ reason: 'timeout' })
      expect(record!.ended_at - record!.started_at).toBeGreaterThanOrEqual(1_000)
      expect(await tree()).toEqual([])
    })

    test('stop sends INT first', async () => {
      const { start, follow, directories, pod, attempt, ended } = setup()
      await start(`trap 'echo bye; exit 3' INT; echo up; while :; do sleep 0.05; done`)
      const text = collect(follow(), { stdout: 0, stderr: 0 }, async (length) => {
        if (length === 3) await directories.stop(pod, attempt, 20, 'cancelled')
      })
      expect((await text).stdout.toString()).toBe('up\nbye\n')
      expect(await ended()).toMatchObject({ exit_code: 3, reason: 'cancelled' })
    })

    test('a program that ends its own children gets INT alone, and they get it when it is gone', async () => {
      const { directories, follow, pod, attempt, ended } = setup()
      // Twice, so that the second forks. What a shell starts with & ignores INT.
      const child = `setsid setsid sh -c 'trap "echo child; exit" INT; echo up; while :; do sleep 0.05; done'; sleep 0.3`
      const script = `${child}; trap 'sleep 0.5; echo bye; exit 3' INT; echo up; while :; do sleep 0.05; done`
      await directories.start(pod, attempt, { script, stdin: '', timeout_s: 60, interrupt: 'main' })
      const text = collect(follow(), { stdout: 0, stderr: 0 }, async (length) => {
        if (length === 6) await directories.stop(pod, attempt, 20, 'cancelled')
      })
      expect((await text).stdout.toString()).toBe('up\nup\nbye\nchild\n')
      expect(await ended()).toMatchObject({ exit_code: 3, reason: 'cancelled' })
    })

    test('stop leaves no process: a child in its own session that ignores INT and TERM, one that forks on, one that is stopped', async () => {
      const { start, follow, directories, pod, attempt, tree, ended } = setup()
      await start(
        `setsid sh -c 'trap "" INT TERM; while :; do sleep 1; done' >/dev/null 2>&1 & ` +
          `setsid sh -c 'trap "" INT TERM; while :; do setsid sh -c "trap \\"\\" INT TERM; sleep 5" & sleep 0.1; done' & ` +
          `setsid sh -c 'kill -STOP $$' & ` +
          `echo up; trap '' INT TERM; while :; do sleep 1; done`,
      )
      for await (const _ of follow()) break
      expect((await tree()).length).toBeGreaterThan(3)
      await directories.stop(pod, attempt, 1, 'cancelled')
      expect(await tree()).toEqual([])
      expect(await ended()).toMatchObject({ exit_code: 137, reason: 'cancelled' })
    })

    test('stop does not touch an attempt whose name begins with the same characters, and changes nothing of an ended one', async () => {
      const { start, directories, pod, task, tree } = setup()
      await start('exec sleep 60', { attempt: 1 })
      await start('exec sleep 60', { attempt: 10 })
      await directories.stop(pod, `${task}.1`, 0, 'cancelled')
      await until(async () => (await tree(10)).length === 1)
      expect(await tree(1)).toEqual([])
      await directories.stop(pod, `${task}.1`, 10, 'timeout')
      expect(await directories.ended(pod, `${task}.1`, never)).toMatchObject({ reason: 'cancelled' })
      await directories.stop(pod, `${task}.10`, 0, 'stopped')
    })

    test('when a stop races the end, every reader gets the same record', async () => {
      const { start, directories, pod, task } = setup()
      const reasons = new Set<string>()
      for (let attempt = 1; attempt <= 8; attempt++) {
        const name = `${task}.${attempt}`
        await start('exec true', { attempt })
        await directories.stop(pod, name, 2, 'cancelled')
        const record = await directories.ended(pod, name, never)
        reasons.add(record!.reason)
        expect(await directories.ended(pod, name, never)).toEqual(record)
      }
      expect(['exited', 'cancelled']).toEqual(expect.arrayContaining([...reasons]))
    })

    test('background processes end with the main process, and do not delay the end', async () => {
      const { start, follow, ended, tree } = setup()
      await start(`setsid sleep 600 & (setsid sh -c 'trap "" TERM; while :; do sleep 1; done' &) ; echo done`)
      expect((await collect(follow())).stdout.toString()).toBe('done\n')
      const record = await ended()
      expect(record).toMatchObject({ exit_code: 0, reason: 'exited' })
      expect(record!.ended_at - record!.started_at).toBeLessThan(20_000)
      expect(await tree()).toEqual([])
    })

    test.each([0, 8_000, 100_000])('a script arrives as it is, with %i bytes before', async (bytes) => {
      const { start, follow, ended } = setup()
      const more = `: ${'x'.repeat(bytes)}\n`
      await start(`${more}cat <<'__'\n${nasty}\n__\necho "$#"`)
      expect((await collect(follow())).stdout.toString()).toBe(`${nasty}\n0\n`)
      expect(await ended()).toMatchObject({ exit_code: 0 })
    })

    test('an attempt goes on without its agent; the next agent finds, follows and ends it', async () => {
      const { start, directories, open, pod, task, attempt } = setup()
      await start(`echo one; until [ -e "$HOME/${task}.go" ]; do sleep 0.02; done; echo two; exec sleep 600`)
      await directories.close()
      const next = open()
      expect((await next.list(pod)).attempts).toContainEqual({ task_id: task, attempt: 1, pod, state: 'running' })
      await next.run(pod, `touch "$HOME/${task}.go"`, 10_000)
      let text = ''
      for await (const { bytes } of next.follow(pod, attempt, { stdout: 2, stderr: 0 }, never)) {
        text += bytes.toString()
        if (text.endsWith('two\n')) break
      }
      expect(text).toBe('e\ntwo\n')
      await next.stop(pod, attempt, 0, 'stopped')
      expect(await next.ended(pod, attempt, never)).toMatchObject({ reason: 'stopped' })
    })

    test.each(hardTexts)('stdin arrives as it is: %s', async (_, stdin) => {
      const { start, follow } = setup()
      await start('exec cat', { stdin })
      expect((await collect(follow())).stdout.equals(Buffer.from(stdin))).toBe(true)
    })

    test('script and stdin are in no argv, and in no file once the process has them', async () => {
      const { start, follow, sh, attempt } = setup()
      const secret = `s3cret${randomBytes(8).toString('hex')}`
      const pattern = `s3[c]ret${secret.slice(6)}`
      await start(`export KEY=${secret}; echo up; exec sleep 60`, { stdin: `${secret}\n` })
      for await (const _ of follow()) break
      expect(await sh(`grep -l '${pattern}' /proc/[0-9]*/cmdline 2>/dev/null`)).toBe('')
      // One file at a time: some greps would wait on a fifo.
      const home = '"${RDEV_HOME:-$HOME/.rdev}"'
      const files = `for f in ${home}/*/* ${home}/attempts/${attempt}/*; do [ ! -f "$f" ] || grep -l '${pattern}' "$f"; done`
      await until(async () => (await sh(files)) === '')
      expect(await sh(`grep -l '${pattern}' /proc/[0-9]*/environ 2>/dev/null | wc -l`)).toBe('1')
    })

    test('the list has running, exited and broken attempts', async () => {
      const { start, directories, pod, task, sh } = setup()
      await start('exec sleep 60', { attempt: 1 })
      await start('exec true', { attempt: 2 })
      await directories.ended(pod, `${task}.2`, never)
      await sh(`mkdir "\${RDEV_HOME:-$HOME/.rdev}/attempts/${task}.3"; mkdir "\${RDEV_HOME:-$HOME/.rdev}/attempts/other"`)
      const mine = (await directories.list(pod)).attempts.filter(({ task_id }) => task_id === task)
      expect(mine.map(({ attempt, state }) => [attempt, state])).toEqual([
        [1, 'running'],
        [2, 'exited'],
        [3, 'broken'],
      ])
      // An attempt that never began gets an exit record and can never begin.
      expect(await directories.ended(pod, `${task}.3`, never)).toMatchObject({ exit_code: -1, stdout_bytes: 0, reason: 'supervisor_died' })
      await directories.stop(pod, `${task}.1`, 0, 'stopped')
    })

    test('a running attempt is not removed; one that does not exist has no end', async () => {
      const { start, directories, pod, attempt, task, tree } = setup()
      await start('exec sleep 60')
      await until(async () => (await tree()).length === 1)
      await expect(directories.remove(pod, attempt)).rejects.toThrow('running')
      expect(await tree()).toHaveLength(1)
      await expect(directories.ended(pod, `${task}.99`, never)).rejects.toThrow('has no attempt')
      await expect(collect(directories.follow(pod, `${task}.99`, { stdout: 0, stderr: 0 }, never))).rejects.toThrow('has no attempt')
      await directories.stop(pod, attempt, 0, 'stopped')
      await directories.remove(pod, attempt)
      for (const attempt of [2, 3, 4, 5]) await start('exec true', { attempt })
      const rest = [2, 3, 4, 5].map((attempt) => `${task}.${attempt}`)
      await Promise.all(rest.map((name) => directories.ended(pod, name, never)))
      await Promise.all([...rest, ...rest].map((name) => directories.remove(pod, name)))
      expect((await directories.list(pod)).attempts.filter(({ task_id }) => task_id === task)).toEqual([])
    })

    test('notes are kept unchanged, and removed with the attempt', async () => {
      const { start, directories, pod, attempt, ended } = setup()
      await start('exec true')
      expect(await directories.readNote(pod, attempt, 'session')).toBeUndefined()
      for (const text of ['', nasty, 'x'.repeat(60_000)]) {
        await directories.writeNote(pod, attempt, 'session', text)
        expect(await directories.readNote(pod, attempt, 'session')).toBe(text)
      }
      await ended()
      await directories.remove(pod, attempt)
      expect(await directories.readNote(pod, attempt, 'session')).toBeUndefined()
    })

    test('a script that is run once: exit code and both streams; bounded; killed when it takes too long', async () => {
      const { directories, pod, tree } = setup()
      expect(await directories.run(pod, 'echo out; echo err >&2; exit 4', 10_000)).toEqual({
        exit_code: 4,
        stdout: 'out\n',
        stderr: 'err\n',
      })
      expect((await directories.run(pod, 'printf x', 10_000)).stdout).toBe('x')
      expect((await directories.run(pod, 'head -c 1000000 /dev/zero', 10_000)).stdout).toHaveLength(64 * 1024)
      await expect(directories.run(pod, 'setsid sleep 977 & sleep 977', 300)).rejects.toThrow('did not end')
      await until(async () => (await directories.run(pod, "grep -lzxF '977' /proc/[0-9]*/cmdline 2>/dev/null", 10_000)).stdout === '')
      expect(await tree()).toEqual([])
    })

    test('a server in the pod is reached on its loopback; where nobody listens, that is told', async () => {
      const { start, follow, directories, pod, attempt } = setup()
      expect((await directories.run(pod, 'command -v node', 10_000)).exit_code, 'the test brings its server as a program of node').toBe(0)
      await start(
        `exec node -e 'const s = require("net").createServer((c) => c.pipe(c)); s.listen(0, "127.0.0.1", () => console.log(s.address().port))'`,
      )
      let port = 0
      for await (const { bytes } of follow()) {
        port = Number(bytes.toString())
        break
      }
      const socket = await bundle.host.connect(pod, port)
      socket.write('hello')
      const [echo] = await new Promise<Buffer[]>((resolve) => socket.once('data', (...data: Buffer[]) => resolve(data)))
      expect(echo!.toString()).toBe('hello')
      socket.destroy()
      await directories.stop(pod, attempt, 0, 'stopped')
      await expect(
        (async () => {
          const dead = await bundle.host.connect(pod, port)
          // Some hosts learn the refusal only after the connection.
          await new Promise((_, reject) => dead.on('error', reject).on('close', () => reject(new Error('closed'))))
        })(),
      ).rejects.toThrow()
    })

    test('when the agent is gone it leaves nothing in the pod: no shell, no follower, no waiting process, no spare supervisor', async () => {
      const before = await residents(bundle)
      const { start, follow, ended, directories, pod, task, open } = setup()
      await start('echo up; exec sleep 0.5')
      for await (const _ of follow()) break
      const following = collect(follow())
      await ended()
      await following
      await start('echo up; exec sleep 600', { attempt: 2 })
      const waiting = directories.ended(pod, `${task}.2`, never)
      for await (const _ of directories.follow(pod, `${task}.2`, { stdout: 0, stderr: 0 }, never)) break
      await directories.stop(pod, `${task}.2`, 0, 'stopped')
      await waiting
      const other = open()
      await other.list(pod)
      await bundle.cut()
      await directories.list(pod)
      await directories.close()
      await other.close()
      // Repeated, because the shell of an earlier look may not have ended yet.
      await until(async () => (await newcomers(bundle, before)).length === 0)
    })
  })
}
