// A client that costs little beside what it measures: node's own, with connections that stay.
import { Agent, request } from 'node:http'

export interface Answer {
  readonly status: number
  readonly text: string
}

export function httpClient(url: string, key: string, connections: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const { hostname, port } = new URL(url)
  const send = (method: string, path: string, body?: unknown): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const headers = {
        authorization: `Bearer ${key}`,
        'accept-encoding': 'identity',
        ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      }
      const asked = request({ agent, hostname, port, method, path, headers }, (response) => {
        let said = ''
        response.setEncoding('utf8').on('data', (part: string) => (said += part))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: said }))
        response.on('error', reject)
      })
      asked.on('error', reject)
      asked.end(text)
    })
  return {
    /** Anything but the wanted status is an error. */
    wants: async (status: number, method: string, path: string, body?: unknown): Promise<string> => {
      const answer = await send(method, path, body)
      if (answer.status !== status) throw new Error(`${method} ${path} answered ${answer.status}: ${answer.text.slice(0, 300)}`)
      return answer.text
    },
    close: () => agent.destroy(),
  }
}
