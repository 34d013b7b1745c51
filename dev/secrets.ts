// The keys of this installation, which a second start must find again: in one file that only its owner can read.
import { randomBytes } from 'node:crypto'
import { chmod, readFile, rename, writeFile } from 'node:fs/promises'
import { newApiKey } from '@rdev/shared/domain/api-key'
import { z } from 'zod'

const schema = z.object({ adminKey: z.string(), tokenSecret: z.string(), clusterKey: z.string().nullable() })
export type Secrets = z.infer<typeof schema>

export async function loadSecrets(directory: string): Promise<Secrets> {
  const file = `${directory}/secrets.json`
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text !== undefined) return schema.parse(JSON.parse(text))
  const fresh: Secrets = { adminKey: newApiKey(randomBytes(80)).key, tokenSecret: randomBytes(32).toString('base64url'), clusterKey: null }
  await saveSecrets(directory, fresh)
  return fresh
}

export async function saveSecrets(directory: string, secrets: Secrets): Promise<void> {
  const file = `${directory}/secrets.json`
  await writeFile(`${file}.new`, JSON.stringify(secrets, null, 2), { mode: 0o600 })
  await chmod(`${file}.new`, 0o600)
  await rename(`${file}.new`, file)
}
