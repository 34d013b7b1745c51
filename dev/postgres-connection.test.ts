import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { sql } from 'drizzle-orm'
import { expect, onTestFinished, test } from 'vitest'
import { Database } from '../control-plane/src/stores/postgres/database.ts'

async function setup(answer: RequestListener) {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const databaseUrl = `postgresql://rdev:secret@127.0.0.1:${port}/rdev`
  return new Database({ databaseUrl, fetchEndpoint: `http://127.0.0.1:${port}/sql`, requestDeadlineMs: 100 })
}

test('a database that does not answer is unavailable', async () => {
  const database = await setup(() => {})
  await expect(database.rows(sql`select 1`)).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
})

test('a database that stops in the middle of its answer is unavailable', async () => {
  const database = await setup((_, response) => response.writeHead(200, { 'content-type': 'application/json' }).write('{"rows":'))
  await expect(database.rows(sql`select 1`)).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
})

test('a database whose connection is cut in the middle of its answer is unavailable', async () => {
  const database = await setup((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
    response.write('{"rows":', () => response.destroy())
  })
  await expect(database.rows(sql`select 1`)).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
})

test('a database with an answer that is not one of a database is unavailable', async () => {
  const database = await setup((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'))
  await expect(database.rows(sql`select 1`)).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
})
