// The ledger: what really happened. Only the model processes write it, never the system; the judge reads it.

import type { ExitRecord } from '@rdev/shared/domain/attempt'

export interface ProcessFacts {
  readonly task_id: string
  readonly attempt: number
  readonly pod: string
  readonly uid: string
  /** The working copy whose lock it holds; null: none. */
  readonly lock: string | null
  readonly startedAt: number
  /** A hostile one, which no supervisor ends: while no agent is there, nobody does. */
  readonly impostor: boolean
  /** When the last process of its tree ended. */
  emptyAt: number | null
  stdout: string
  stderr: string
  /** Whether its main process ended before any signal. */
  endedByItself: boolean
  /** The exit record, by its supervisor or by the shell that found it dead. */
  record: ExitRecord | undefined
}

export class Ledger {
  readonly processes: ProcessFacts[] = []
  /** Pods that are gone, by uid, and since when. */
  readonly gone = new Map<string, number>()

  of(taskId: string, attempt?: number): ProcessFacts[] {
    return this.processes.filter((each) => each.task_id === taskId && (attempt === undefined || each.attempt === attempt))
  }
  alive(taskId: string): ProcessFacts[] {
    return this.processes.filter((each) => each.task_id === taskId && each.emptyAt === null)
  }
}
