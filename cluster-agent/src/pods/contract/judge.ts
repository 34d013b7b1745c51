// What the contract suite judges by: complete streams, the pod's processes as the pod lists them, and answers that get lost.

import { randomBytes } from 'node:crypto'
import { expect, onTestFinished } from 'vitest'
import { newId } from '@rdev/shared/domain/ids'
import type { Chunk, PodHost, Shell } from '../../ports.ts'
import { createAttemptDirectories } from '../attempt-directories.ts'
import { block } from '../library.ts'

export const never = new AbortController().signal

export interface ContractSetup {
  readonly host: PodHost
  /** A ready pod with a writable home, in which nothing else runs. */
  readonly pod: string
  /** Cuts every stream that is open now, as a network would. */
  cut(): void | Promise<void>
  close(): Promise<void>
}

/** Text that breaks wrong quoting and transports that work by lines. */
export const nasty = `it's "quoted" \\ back\\\\slash \`cmd\` $HOME $(id) \t tab\r\n\n#.\nEOF\n  spaces  \n*? ü 🦊 \u0081\u0088`
export const hardTexts: [string, string][] = [
  ['nothing', ''],
  ['one newline', '\n'],
  ['what shells trip over, no final newline', nasty],
  ['the same with one', `${nasty}\n`],
  ['a NUL', 'a\0b'],
  ['a 1_000_000', `${nasty}\n`.repeat(Math.ceil(1_000_000 / Buffer.byteLength(nasty)))],
]

export const killSupervisor = (attempt: string): string =>
  `read -r pid _ <"\${RDEV_HOME:-$HOME/.rdev}/attempts/${attempt}/supervisor"; kill -9 "$pid"`

/** A task of its own, and an agent to run it. */
export function attemptOf(bundle: Pick<ContractSetup, 'pod'>, host: PodHost) {
  const task = newId('task', 0, randomBytes(10))
  const open = (over = host) => {
    const directories = createAttemptDirectories(over, () => {})
    onTestFinished(() => directories.close())
    return directories
  }
  const directories = open()
  const { pod } = bundle
  const start = (script: string, more: { attempt?: number; stdin?: string; timeout_s?: number; lock?: string; home?: string } = {}) =>
    directories.start(pod, `${task}.${more.attempt ?? 1}`, {
      script,
      stdin: more.stdin ?? '',
      timeout_s: more.timeout_s ?? 60,
      lock: more.lock,
      home: more.home,
    })
  return {
    pod,
    task,
    attempt: `${task}.1`,
    ledger: `"$HOME/${task}.ledger"`,
    directories,
    open,
    start,
    follow: (stdout = 0, stderr = 0) => directories.follow(pod, `${task}.1`, { stdout, stderr }, never),
    ended: () => directories.ended(pod, `${task}.1`, never),
    sh: async (script: string) => (await directories.run(pod, script, 30_000)).stdout.trim(),
    /** The ids of the processes that have the attempt's tag, as the pod lists them. */
    tree: async (attempt = 1) =>
      (await directories.run(pod, `grep -lzxF 'RDEV_ATTEMPT=${task}.${attempt}' /proc/[0-9]*/environ 2>/dev/null`, 30_000)).stdout
        .split('\n')
        .filter((line) => line !== ''),
  }
}

/** Everything a follower delivered; checks that offsets leave no gap. `onBytes` gets every chunk of stdout. */
export async function collect(
  chunks: AsyncIterable<Chunk>,
  from: { stdout: number; stderr: number } = { stdout: 0, stderr: 0 },
  onBytes: (stdoutLength: number) => Promise<void> = async () => {},
): Promise<{ stdout: Buffer; stderr: Buffer }> {
  const parts: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] }
  const at = { ...from }
  for await (const { stream, offset, bytes } of chunks) {
    expect(offset).toBe(at[stream])
    at[stream] += bytes.length
    parts[stream].push(bytes)
    if (stream === 'stdout') await onBytes(at.stdout)
  }
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) }
}

export async function sha256(bytes: Buffer): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', new Uint8Array(bytes))).toString('hex')
}

/** Polls the pod, where nothing else tells. The test's own limit is the bound. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** Command lines of the pod user's processes, except the shell that lists them. */
export async function residents({ host, pod }: { host: PodHost; pod: string }): Promise<string[]> {
  const shell = await host.shell(pod)
  const text: string[] = []
  shell.stdin.write(
    block(
      `for f in $(grep -lzxF "HOME=$HOME" /proc/[0-9]*/environ 2>/dev/null); do p=\${f#/proc/}; p=\${p%/environ}; ` +
        `[ $p = $$ ] || [ ! -d /proc/$p ] || { tr '\\000\\n' '  ' </proc/$p/cmdline; echo; }; done 2>/dev/null; echo complete`,
    ),
  )
  for await (const chunk of shell.stdout) {
    text.push(String(chunk))
    if (text.join('').endsWith('complete\n')) break
  }
  shell.destroy()
  return text
    .join('')
    .split('\n')
    .filter((line) => line !== '' && line !== 'complete')
}

/** Processes that were not in `before`, except the sleeps of a guard, which come and go. */
export async function newcomers(bundle: { host: PodHost; pod: string }, before: readonly string[]): Promise<string[]> {
  const known = [...before]
  return (await residents(bundle)).filter((command) => {
    const place = known.indexOf(command)
    if (place >= 0) known.splice(place, 1)
    return place < 0 && !command.startsWith('sleep 3.0')
  })
}

/** A host whose shells, once, are cut instead of answering `answer`, or answer something else. */
export function losingAnswers(host: PodHost, answer: string, instead?: string): { host: PodHost; lost(): number } {
  let lost = 0
  return {
    lost: () => lost,
    host: {
      ...host,
      async shell(pod) {
        const shell = await host.shell(pod)
        const read = shell.stdout.read.bind(shell.stdout)
        shell.stdout.read = (size?: number) => {
          const chunk: unknown = read(size)
          if (lost > 0 || !Buffer.isBuffer(chunk) || !chunk.toString().startsWith(`${answer}\n`)) return chunk
          lost++
          if (instead !== undefined) return Buffer.from(`${instead}\n`)
          shell.destroy()
          return null
        }
        return shell
      },
    },
  }
}

/** Gives any host a `cut` that destroys its shells. A host may have a harder one of its own. */
export function withCutter(host: PodHost): { host: PodHost; cut(): void } {
  const shells = new Set<Shell>()
  return {
    host: {
      ...host,
      async shell(pod) {
        const shell = await host.shell(pod)
        shells.add(shell)
        void shell.closed.then(() => shells.delete(shell))
        return shell
      },
    },
    cut() {
      for (const shell of shells) shell.destroy()
    },
  }
}
