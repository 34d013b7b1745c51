// Makes a new database on a PostgreSQL server that other tests use too.
import { randomBytes } from 'node:crypto'
import { openPg } from './pg-backend.ts'

export interface OwnDatabase {
  readonly url: string
  drop(): Promise<void>
}

export async function createDatabase(serverUrl: string): Promise<OwnDatabase> {
  const name = `rdev_own_${randomBytes(6).toString('hex')}`
  const onServer = async (sql: string) => {
    const server = await openPg(serverUrl)
    await server.query({ sql, params: [] }).finally(() => server.close())
  }
  await onServer(`CREATE DATABASE ${name}`)
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => onServer(`DROP DATABASE ${name} WITH (FORCE)`) }
}
