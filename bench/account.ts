// Measures the processor time of a program and of every process that it starts, also short-lived and detached ones, by a control group.
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'

export interface Account {
  usedMs(): Promise<number>
  /** Removes the group; if processes of it are still there, it stays. */
  close(): Promise<void>
}

/** Undefined where this user may not make control groups. */
export async function openAccount(name: string, pid: number): Promise<Account | undefined> {
  for (const { root, read } of kinds) {
    const directory = `${root}/${name}-${pid}`
    try {
      await mkdir(directory)
      await writeFile(`${directory}/cgroup.procs`, String(pid))
      await read(directory)
    } catch {
      await rmdir(directory).catch(() => {})
      continue
    }
    return { usedMs: () => read(directory), close: () => rmdir(directory).catch(() => {}) }
  }
  return undefined
}

const kinds: readonly { readonly root: string; read(directory: string): Promise<number> }[] = [
  {
    root: '/sys/fs/cgroup/cpuacct',
    read: async (directory) => Number(await readFile(`${directory}/cpuacct.usage`, 'latin1')) / 1e6,
  },
  {
    root: '/sys/fs/cgroup',
    read: async (directory) => Number(/usage_usec (\d+)/.exec(await readFile(`${directory}/cpu.stat`, 'latin1'))?.[1]) / 1e3,
  },
]
