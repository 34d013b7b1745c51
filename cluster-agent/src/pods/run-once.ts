// Runs a script in a pod once. At the end the shell writes a mark with the exit code to both streams; a stream without a mark was cut.

import { upload } from './payload.ts'
import type { PodShells } from './pod-shells.ts'
import { ShellCut } from './shell-session.ts'

const maxOutputBytes = 64 * 1024

export interface Ran {
  readonly exit_code: number
  readonly stdout: string
  readonly stderr: string
}

/** Rejects with ShellCut if the script did not end in time (then it is killed) or the stream was cut. It is never run twice. */
export async function runOnce(
  shells: PodShells,
  pod: string,
  mark: string,
  script: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Ran> {
  const { lines, payload } = await upload(shells, pod, `${mark}.script`, script)
  const session = await shells.fresh(pod)
  const stdout = new Tail(mark)
  const stderr = new Tail(mark)
  const deadline = performance.now() + timeoutMs
  try {
    session.send([...lines, `rdev_run ${mark}`].join(' && '), payload)
    for (;;) {
      const out: Buffer | null = session.shell.stdout.read()
      const err: Buffer | null = session.shell.stderr.read()
      if (out) stdout.add(out)
      if (err) stderr.add(err)
      const code = stdout.end()
      if (code !== undefined && stderr.end() !== undefined) return { exit_code: code, stdout: stdout.text(), stderr: stderr.text() }
      if (out || err) continue
      if (!session.open() || signal.aborted) throw new ShellCut(pod, 'cut while it ran a script')
      if (!(await session.signal.wait(deadline - performance.now()))) throw new ShellCut(pod, `the script did not end in ${timeoutMs} ms`)
    }
  } finally {
    // At the end of its stdin the shell in the pod kills what still runs.
    session.destroy()
  }
}

/** The first 64 KiB of a stream, and its last bytes, which may have the mark. */
class Tail {
  #head = Buffer.alloc(0)
  #last = Buffer.alloc(0)
  #length = 0
  #mark: RegExp
  constructor(mark: string) {
    this.#mark = new RegExp(`\\n${mark} (\\d+)\\n$`)
  }
  add(chunk: Buffer): void {
    this.#length += chunk.length
    if (this.#head.length < maxOutputBytes) this.#head = Buffer.concat([this.#head, chunk.subarray(0, maxOutputBytes - this.#head.length)])
    this.#last = Buffer.concat([this.#last, chunk]).subarray(-64)
  }
  end(): number | undefined {
    const match = this.#mark.exec(this.#last.toString('latin1'))
    return match ? Number(match[1]) : undefined
  }
  text(): string {
    const markBytes = this.#mark.exec(this.#last.toString('latin1'))?.[0].length ?? 0
    return this.#head.subarray(0, Math.max(0, this.#length - markBytes)).toString('utf8')
  }
}
