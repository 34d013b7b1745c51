import type { z } from 'zod'
import type { Answer } from '../middleware/endpoint.ts'

export const json = (description: string, schema: z.ZodType, headers?: Answer['headers']): Answer => ({
  description,
  content: { 'application/json': schema },
  ...(headers && { headers }),
})
