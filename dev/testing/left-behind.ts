// Runs around every vitest run: its temporary files are in a folder of its own, and at the end nothing may be left, neither a file in that
// folder nor a process that has the folder in its environment, its command line or as its working directory. What is left is named, and fails
// the run. Nothing is killed here: what a test started is for the product or for that test to end.

import { chmod, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'

/** Folders of stacks that several files share: their worker is killed at its end and removes nothing. */
export const sharedPrefix = 'shared-'
/** The programs of a shared stack leave when their worker is gone; a busy machine takes its time. */
const leaveMs = 60_000

export default async function setup(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(`${tmpdir()}/rdev-run-`)
  // A PostgreSQL server does not run as root: its user passes through here to its own folder.
  await chmod(folder, 0o711)
  const outer = process.env.TMPDIR
  process.env.TMPDIR = folder
  return async () => {
    if (outer === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = outer
    const deadline = performance.now() + leaveMs
    let processes: readonly string[]
    while ((processes = await processesOf(folder)).length > 0 && performance.now() < deadline) await pause(200)
    const files = (await readdir(folder)).filter((name) => !name.startsWith(sharedPrefix))
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    const left = [...processes, ...files.map((name) => `file ${folder}/${name}`)]
    if (left.length > 0) throw new Error(`the suites left behind:\n${left.join('\n')}`)
  }
}

/** This process and its own children (workers that are just ending) do not count. */
export async function processesOf(folder: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue
    const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')
    const [environment, command, status, cwd] = await Promise.all([
      read('environ'),
      read('cmdline'),
      read('stat'),
      readlink(`/proc/${pid}/cwd`).catch(() => ''),
    ])
    const parent = Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[1])
    if (parent === process.pid || ![environment, command, cwd].some((text) => text.includes(folder))) continue
    found.push(`process ${pid}: ${command.replaceAll(/[\0\n]/g, ' ').slice(0, 200)}`)
  }
  return found
}
