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

/** Brings `text` to `incoming/<file>` of the pod's rdev home. */
export async function upload(shells: PodShells, pod: string, file: string, text: string): Promise<Payload> {
  if (text.length <= inlineBytes && Buffer.byteLength(text) <= inlineBytes && !text.includes('\0')) {
    const mark = `#${randomBytes(8).toString('hex')}`
    const end = text === '' || text.endsWith('\n') ? mark : `\n${mark}-`
    return { lines: [`rdev_take ${file} '${mark}'`], payload: `${text}${end}\n` }
  }
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
