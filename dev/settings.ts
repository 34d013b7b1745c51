// Reads the environment of `npm start`. Every variable has a default.
import { z } from 'zod'
import { repository } from './bundle.ts'

const schema = z.object({
  PORT: z.coerce.number().int().min(0).max(65_535).default(8787),
  RDEV_DATA_DIR: z.string().min(1).default(`${repository}.rdev`),
  RDEV_ADMIN_KEY: z.string().min(32, 'must have at least 32 characters').optional(),
  ANTHROPIC_API_KEY: z.string().min(1).optional(),
  ANTHROPIC_BASE_URL: z.url().optional(),
  RDEV_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('warn'),
})

export interface Settings {
  readonly port: number
  readonly dataDirectory: string
  readonly adminKey: string | undefined
  /** The real model, if the environment has one. */
  readonly model: { readonly apiKey: string; readonly baseUrl: string | undefined } | undefined
  readonly logLevel: string
}

/** Throws an error that names every wrong variable at once, and never a value. */
export function readSettings(environment: NodeJS.ProcessEnv): Settings {
  const parsed = schema.safeParse(environment)
  if (!parsed.success) {
    const wrong = parsed.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`)
    throw new Error(`The environment is not valid:\n${wrong.join('\n')}`)
  }
  const { data } = parsed
  return {
    port: data.PORT,
    dataDirectory: data.RDEV_DATA_DIR,
    adminKey: data.RDEV_ADMIN_KEY,
    model: data.ANTHROPIC_API_KEY ? { apiKey: data.ANTHROPIC_API_KEY, baseUrl: data.ANTHROPIC_BASE_URL } : undefined,
    logLevel: data.RDEV_LOG_LEVEL,
  }
}
