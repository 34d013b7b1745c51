import { z } from 'zod'
import { idPattern } from '../domain/ids.ts'
import { clusterIdSchema } from './resources.ts'
import { projectIdSchema } from './tasks.ts'

const id = (kind: 'task' | 'session' | 'key', example: string) => z.string().regex(idPattern(kind)).meta({ example })

/** Path parameters, by the object that they name. */
export const taskParams = { id: id('task', 'task_01kamyp4e0c9q2t5w8z1x4v7r3') }
export const sessionParams = { id: id('session', 'ses_01kamyp4e0c9q2t5w8z1x4v7r3') }
export const keyParams = { id: id('key', 'key_01kamyp4e0c9q2t5w8z1x4v7r3') }
export const projectParams = { id: projectIdSchema }
export const clusterParams = { id: clusterIdSchema }
export const attemptParams = {
  ...taskParams,
  n: z
    .string()
    .regex(/^[1-9]\d{0,5}$/)
    .meta({ example: '1' }),
}
