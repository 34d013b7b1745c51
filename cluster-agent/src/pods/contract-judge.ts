// What the contract suite judges by: complete streams, the pod's own account of its processes, and answers that get lost.

import { expect } from 'vitest'
import type { Chunk, PodHost, Shell } from '../ports.ts'
import { block } from './library.ts'

export interface ContractSetup {
  readonly host: PodHost
  /** A ready pod, nothing else running in it. Its home is writable. */
  readonly pod: string
  /** Cuts every stream that is open now, the way a network would. */
  cut(): void | Promise<void>
  close(): Promise<void>
}

/** What shells, quoting and line-wise transports trip over. */
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

/** Everything a follower delivered; checks that offsets leave no gap. `onBytes` hears of every chunk of stdout. */
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

/** For what the pod tells only by looking: bounded by the test's own limit. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** Command lines of the pod user's processes, but for the shell that looks. */
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

/** A host whose shells are cut in the moment in which they would have answered `answer`, once. */
export function losingAnswers(host: PodHost, answer: string): { host: PodHost; lost(): number } {
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
          shell.destroy()
          return null
        }
        return shell
      },
    },
  }
}

/** Gives any host a cutter: its shells are destroyed. A host may bring a rougher one. */
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
