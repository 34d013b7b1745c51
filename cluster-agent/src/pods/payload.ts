// Brings scripts and prompts into a pod, never in argv. Small ones go through the shell that uses them, line by line (`read` costs a system
// call per byte: about 10 ms for the limit of 32 KiB). Larger ones, and those with a NUL, go through a shell of their own.

import { randomBytes } from 'node:crypto'
import type { PodShells } from './pod-shells.ts'

const inlineBytes = 32 * 1024
/** Only slow networks need so long: a megabyte takes milliseconds. */
const uploadMs = 60_000

export interface Payload {
  /** Shell lines that receive `payload`, for the shell that uses the file. */
  readonly lines: readonly string[]
  readonly payload: string
}

export const noPayload: Payload = { lines: [], payload: '' }

/** Orders to a warm supervisor, some words and the script, are one write. Below PIPE_BUF (4096) it is atomic (POSIX write). */
const ordersBytes = 3 * 1024

/** Brings the script of an attempt into the shell that will start it. A small one is never written to a disk. Rejects with ShellCut. */
export async function uploadScript(shells: PodShells, pod: string, file: string, text: string): Promise<Payload> {
  if (fits(text, ordersBytes)) return inline(text, (mark) => `rdev_script '${mark}'`)
  const { lines, payload } = await upload(shells, pod, file, text)
  return { lines: [...lines, `r_script='. "$r_home/incoming/${file}"'`], payload }
}

/** Brings `text` to `incoming/<file>` of the pod's home. Rejects with ShellCut. */
export async function upload(shells: PodShells, pod: string, file: string, text: string): Promise<Payload> {
  if (fits(text, inlineBytes)) return inline(text, (mark) => `rdev_take ${file} '${mark}'`)
  const bytes = Buffer.from(text)
  const session = await shells.fresh(pod)
  try {
    session.send(`rdev_put ${file} ${bytes.length}`)
    session.shell.stdin.end(bytes)
    await session.line(uploadMs)
  } finally {
    session.destroy()
  }
  return { lines: [], payload: '' }
}

const fits = (text: string, bytes: number): boolean => text.length <= bytes && Buffer.byteLength(text) <= bytes && !text.includes('\0')

function inline(text: string, take: (mark: string) => string): Payload {
  const mark = `#${randomBytes(8).toString('hex')}`
  const end = text === '' || text.endsWith('\n') ? mark : `\n${mark}-`
  return { lines: [take(mark)], payload: `${text}${end}\n` }
}
