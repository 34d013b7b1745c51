// Checks a complete log against the row and the ledger.

import type { TaskEvent } from '@rdev/shared/domain/event'
import type { Task } from '@rdev/shared/domain/task'
import type { ProcessFacts } from '../world/ledger.ts'
import type { Judge } from './judge.ts'

export const shortName = (id: string): string => `…${id.slice(id.indexOf('.') < 0 ? -4 : id.indexOf('.') - 4)}`

export function judgeLog(judge: Judge, task: Task, log: readonly TaskEvent[], processes: readonly ProcessFacts[]): void {
  const short = shortName(task.id)
  log.forEach((event, index) => {
    if (event.seq !== index + 1) judge.violated(3, `${short}: event ${index + 1} has the number ${event.seq}`)
  })
  const ends = log.filter(({ type }) => type === 'task.finished')
  if (ends.length !== 1 || log.at(-1)?.type !== 'task.finished') {
    return judge.violated(3, `${short}: its log has ${ends.length} ends, and its last event is ${log.at(-1)?.type ?? 'nothing'}`)
  }
  const end = ends[0]!
  if (end.data['status'] !== task.status || (end.data['error_code'] ?? null) !== task.error_code) {
    judge.violated(3, `${short}: the log says ${String(end.data['status'])}, the row ${task.status}`)
  }
  if (log[0]?.type !== 'task.queued') judge.violated(3, `${short}: its log begins with ${log[0]?.type}`)
  let last = 0
  for (const event of log) {
    if (event.attempt < last) judge.violated(7, `${short}: event ${event.seq} is of attempt ${event.attempt}, after attempt ${last}`)
    last = Math.max(last, event.attempt)
  }
  for (let attempt = 1; attempt <= task.attempt; attempt++) {
    const end = log.find((event) => event.attempt === attempt && (event.type === 'task.requeued' || event.type === 'task.finished'))
    const why = String(end?.data['reason'] ?? end?.data['error_code'] ?? end?.data['status'])
    const process = processes.find((each) => each.attempt === attempt)
    // The exit record was read, and then the pod was gone with the output.
    const whole =
      !(process !== undefined && end !== undefined && judge.goneBy(process, end)) &&
      !['LOST', 'not_started', 'STALE_WORKER', 'POD_UNAVAILABLE', 'INTERNAL', 'undefined'].includes(why)
    if (log.filter((event) => event.attempt === attempt && event.type === 'task.started').length > 1) {
      judge.violated(3, `${short}.${attempt}: task.started is there more than once`)
    }
    for (const stream of ['stdout', 'stderr'] as const) {
      const told = log
        .filter((event) => event.attempt === attempt && event.type === 'output' && event.data['stream'] === stream)
        .map((event) => String(event.data['text']))
        .join('')
      const real = process?.[stream] ?? ''
      if (whole && process !== undefined ? told !== real : !real.startsWith(told)) {
        judge.violated(
          3,
          `${short}.${attempt} (${why}): the log has ${told.length} characters of ${stream}, its process wrote ${real.length}${real.startsWith(told) ? '' : ', and they differ'}`,
        )
      }
    }
  }
}
