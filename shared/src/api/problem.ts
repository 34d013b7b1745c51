import { z } from 'zod'
import { errorCodes } from '../domain/errors.ts'
import type { ErrorCode } from '../domain/errors.ts'

const codes = Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]

/** RFC 9457 problem details. `type` is about:blank; programs should match on `code`. */
export const problemSchema = z
  .object({
    type: z.string().meta({ example: 'about:blank' }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(codes),
    request_id: z.string(),
    errors: z
      .array(z.object({ pointer: z.string().optional(), parameter: z.string().optional(), message: z.string() }))
      .optional()
      .meta({ description: 'With BAD_REQUEST: each wrong field, by JSON Pointer into the body (RFC 6901) or by parameter name.' }),
  })
  .meta({ id: 'Problem', description: 'An RFC 9457 problem document.' })
export type Problem = z.infer<typeof problemSchema>
