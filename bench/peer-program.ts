// Messages between the bench and bench/peer-main.ts.
import { fork, type ChildProcess } from 'node:child_process'

export type PeerOrder =
  | { readonly what: 'spawns'; readonly count: number; readonly slots: number }
  | { readonly what: 'graphile lives' | 'boss lives'; readonly url: string; readonly count: number; readonly slots: number }
  | { readonly what: 'graphile starts' | 'boss starts'; readonly url: string }

export type PeerReport =
  | { readonly ready: true }
  | { readonly perS: number }
  | { readonly said: string }
  /** Wall clock. */
  | { readonly doneAt: number }

type Has<Key extends string> = Extract<PeerReport, Readonly<Record<Key, unknown>>>

export interface PeerProgram {
  readonly pid: number
  /** The next report of that kind; earlier ones are kept. */
  next<Key extends 'ready' | 'perS' | 'said' | 'doneAt'>(key: Key): Promise<Has<Key>>
  stop(): void
}

export function startPeer(order: PeerOrder): PeerProgram {
  // A group of its own, so that its processor time can be told apart.
  const child: ChildProcess = fork(new URL('./peer-main.ts', import.meta.url), { detached: true })
  const received: PeerReport[] = []
  let wake = () => {}
  child.on('message', (report) => {
    received.push(report as PeerReport)
    wake()
  })
  child.on('exit', (code) => {
    if (code !== 0 && code !== null) console.error(`a peer's program ended with ${code}`)
    wake()
  })
  child.send(order)
  return {
    pid: child.pid ?? 0,
    async next(key) {
      for (;;) {
        const index = received.findIndex((report) => key in report)
        if (index >= 0) return received.splice(index, 1)[0] as Has<typeof key>
        if (child.exitCode !== null) throw new Error('a peer’s program ended before it was done')
        await new Promise<void>((resolve) => (wake = resolve))
      }
    },
    stop: () => void child.kill(),
  }
}
