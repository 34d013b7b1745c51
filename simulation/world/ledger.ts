// What really happened, written by the model processes alone. Nothing of the system can write here; the judge reads it.

import type { ExitRecord } from '@rdev/shared/domain/attempt'

export interface ProcessFacts {
  readonly task_id: string
  readonly attempt: number
  readonly pod: string
  readonly uid: string
  /** The working copy that it works in alone; null: none. */
  readonly lock: string | null
  readonly startedAt: number
  /** When the last process of its tree was gone. */
  emptyAt: number | null
  stdout: string
  stderr: string
  /** Its main process ended before anybody sent a signal. */
  endedByItself: boolean
  /** What its supervisor, or whoever buried it, wrote. */
  record: ExitRecord | undefined
}

export class Ledger {
  readonly processes: ProcessFacts[] = []
  /** Pods that are no more, by uid, and since when. */
  readonly gone = new Map<string, number>()

  of(taskId: string, attempt?: number): ProcessFacts[] {
    return this.processes.filter((each) => each.task_id === taskId && (attempt === undefined || each.attempt === attempt))
  }
  alive(taskId: string): ProcessFacts[] {
    return this.processes.filter((each) => each.task_id === taskId && each.emptyAt === null)
  }
}
