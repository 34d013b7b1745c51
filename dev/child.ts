// A program of the stack in a process group of its own: the whole group (workerd too) can be killed and started again, and ends with this process.
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cacheDirectory } from './cache.ts'

/** Half of what a start of the agent costs is to compile the same files again. */
export const compileCache = { NODE_COMPILE_CACHE: `${cacheDirectory}compiled` }

export interface Child {
  readonly pid: number
  /** False once the process is gone. */
  readonly running: boolean
  /** Resolves when the process is gone, however that came. */
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  /** Sends a signal to the whole group. SIGKILL looks like a crash. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Sends SIGTERM, and SIGKILL to what still runs after `graceMs`. */
  stop(graceMs?: number): Promise<void>
}

export interface ChildOptions {
  readonly file: string
  readonly env: Readonly<Record<string, string>>
  readonly onOutput: (text: string) => void
}

/** Starts `file`. Resolves with its first IPC message, by which each program of `dev/` says that it is ready. Rejects if it ends before. */
export async function startChild<Ready>(options: ChildOptions): Promise<{ child: Child; ready: Ready }> {
  const started: ChildProcess = fork(options.file, [], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', NODE_NO_WARNINGS: '1', ...compileCache, ...options.env },
  })
  const printed: string[] = []
  for (const stream of [started.stdout, started.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      if (printed.length < 50) printed.push(text)
      options.onOutput(text)
    })
  }
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    started.once('exit', (code, signal) => resolve({ code, signal })),
  )
  const pid = started.pid
  if (pid === undefined) throw new Error(`${options.file} could not be started`)
  const ready = await Promise.race([
    once(started, 'message').then(([message]) => message as Ready),
    exited.then(({ code, signal }) => {
      throw new Error(`${options.file} ended (${signal ?? code}) before it was ready:\n${printed.join('')}`)
    }),
  ])

  const signalGroup = (signal: NodeJS.Signals) => {
    try {
      process.kill(-pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  return {
    ready,
    child: {
      pid,
      get running() {
        return started.exitCode === null && started.signalCode === null
      },
      exited,
      kill: async (signal) => {
        signalGroup(signal)
        if (signal === 'SIGKILL') await exited
      },
      stop: async (graceMs = 15_000) => {
        try {
          process.kill(pid, 'SIGTERM')
        } catch {
          return signalGroup('SIGKILL')
        }
        const timer = setTimeout(() => signalGroup('SIGKILL'), graceMs)
        await exited
        clearTimeout(timer)
        // Processes that the program left in its group.
        signalGroup('SIGKILL')
      },
    },
  }
}
