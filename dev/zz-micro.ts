import { z } from 'zod'
import { decodeFrame } from '@rdev/shared/wire/codec'
import { taskUpSchema } from '@rdev/shared/wire/task-frames'
import { encodeBatches } from '../control-plane/src/hub/task-log-storage.ts'
import { initialTaskLog, stepTaskLog } from '../control-plane/src/hub/task-log-machine.ts'
if (process.env.JITLESS) z.config({ jitless: true })
const text = 'x'.repeat(100)
const frame = JSON.stringify({ type: 'events', after: 0, cursor: { stdout: 5, stderr: 0 }, events: Array.from({ length: 64 }, () => ({ type: 'output', time: '2026-11-23T08:00:00.000Z', data: { stream: 'stdout', text } })) })
const bench = (name: string, f: () => void) => { for (let i = 0; i < 300; i++) f(); const t = process.cpuUsage().user; for (let i = 0; i < 2000; i++) f(); console.log(name, ((process.cpuUsage().user - t) / 2000).toFixed(1), 'us/frame') }
bench('JSON.parse', () => JSON.parse(frame))
bench('decode', () => decodeFrame(taskUpSchema, frame))
const d = decodeFrame(taskUpSchema, frame) as any
const state = { ...initialTaskLog(), line: { connection: 'a', attempt: 1, epoch: 1 } }
state.durable = { ...state.durable, task_id: 'task_x', attempt: 1 }
bench('step', () => stepTaskLog(state, { type: 'frame', connection: 'a', frame: d.frame }, 0))
const e: any = stepTaskLog(state, { type: 'frame', connection: 'a', frame: d.frame }, 0).effects[0]
bench('encode', () => encodeBatches(e.events))
