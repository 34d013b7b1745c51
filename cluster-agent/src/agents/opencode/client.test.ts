import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { OpenCodeClient, OpenCodeHttpError } from './client.ts'

async function setup(listener: RequestListener) {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const open = async (to: number) => {
    const socket = connect(to, '127.0.0.1')
    await once(socket, 'connect')
    return socket
  }
  return {
    client: new OpenCodeClient({ connect: open }, port, 'secret'),
    server,
    never: new OpenCodeClient({ connect: () => new Promise(() => {}) }, 1, ''),
  }
}

test('an error has method, path, status and the beginning of the body', async () => {
  const { client } = await setup((_, response) => response.writeHead(418).end('t'.repeat(2000)))
  const error = await client.call('POST', '/session', {}).catch((cause: unknown) => cause)
  expect(error).toBeInstanceOf(OpenCodeHttpError)
  expect((error as Error).message).toBe(`POST /session answered 418: ${'t'.repeat(500)}`)
})

test('it sends the password and a body, and reads JSON', async () => {
  const { client } = await setup((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () =>
      response.end(JSON.stringify({ authorization: request.headers.authorization, said: String(Buffer.concat(chunks)) })),
    )
  })
  const { body } = await client.call('POST', '/x', { a: 'é' })
  expect(body).toEqual({ authorization: `Basic ${Buffer.from('opencode:secret').toString('base64')}`, said: '{"a":"é"}' })
})

test('a server that never answers, and a connection that never comes, end at the time limit', async () => {
  const { client, never } = await setup(() => {})
  await expect(client.call('GET', '/permission', undefined, 50)).rejects.toThrow('GET /permission failed')
  await expect(never.call('GET', '/permission', undefined, 50)).rejects.toThrow('no connection in time')
})

test('events come one by one, however the bytes are divided into chunks, and end with the connection', async () => {
  const { client } = await setup((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const piece of [
      'data: {"id":"a"}\n\nda',
      'ta: {"id":"b", "x":"',
      '\u{1f600}"}\n\n: comment\n\ndata: not json\n\n',
      'data: {"id":"c"}\n\n',
    ])
      response.write(piece)
    response.end()
  })
  const seen: unknown[] = []
  for await (const event of client.events(new AbortController().signal)) seen.push(event.id)
  expect(seen).toEqual(['a', 'b', 'c'])
})

test('messages are read in pages back to the wanted one', async () => {
  const ids = Array.from({ length: 120 }, (_, index) => `msg_${String(index).padStart(3, '0')}`)
  const { client } = await setup((request, response) => {
    const query = new URL(request.url!, 'http://x').searchParams
    const end = Number(query.get('before') ?? ids.length)
    const from = Math.max(0, end - Number(query.get('limit')))
    if (from > 0) response.setHeader('x-next-cursor', String(from))
    response.end(JSON.stringify(ids.slice(from, end).map((id) => ({ info: { id }, parts: [] }))))
  })
  const found = await client.messagesSince('ses_1', 'msg_030')
  expect(found?.map((message) => (message.info as { id: string }).id)).toEqual(ids.slice(30))
  expect(await client.messagesSince('ses_1', 'msg_999')).toBeUndefined()
})
