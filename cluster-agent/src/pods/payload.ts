// Scripts and prompts on their way into a pod: never in argv. Small ones go through the shell that uses them, line by line (`read` costs a
// system call per byte, so about 10 ms for the 32 KiB that are the limit); larger ones, and those with a NUL, through a shell of their own.

import { randomBytes } from 'node:crypto'
import type { PodShells } from './pod-shells.ts'

const inlineBytes = 32 * 1024
/** A megabyte takes milliseconds; this is for slow networks. */
const uploadMs = 60_000

export interface Payload {
  /** For the shell that uses the file: receives it, if it is not there yet. */
  readonly lines: readonly string[]
  readonly payload: string
}

export const noPayload: Payload = { lines: [], payload: '' }

/** Orders for a warm supervisor go in one write that is whole or not at all, with some words before the script: below PIPE_BUF (4096). */
const ordersBytes = 3 * 1024

/** Brings the script of an attempt into the shell that will start it: small ones are never on a disk. */
export async function uploadScript(shells: PodShells, pod: string, file: string, text: string): Promise<Payload> {
  if (fits(text, ordersBytes)) return inline(text, (mark) => `rdev_script '${mark}'`)
  const { lines, payload } = await upload(shells, pod, file, text)
  return { lines: [...lines, `r_script='. "$r_home/incoming/${file}"'`], payload }
}

/** Brings `text` to `incoming/<file>` of the pod's rdev home. */
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
