// Public clients in Go: each reads in a process of its own, by the program of the folder `go`.
import { execFile, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { repository } from '../../dev/bundle.ts'
import type { Client, Message, Reading } from './reading.ts'

const run = promisify(execFile)

/** Builds the program; answers its path. Rejects with a word about what is missing if there is no Go. */
export async function buildGoReaders(directory: string): Promise<string> {
  const { stdout } = await run(`${repository}dev/go.sh`)
  const program = `${directory}/go-readers`
  // Without optimizing, the first build on a machine, which has the standard library in it, takes 20 % less of the processor.
  await run(stdout.trim(), ['build', '-gcflags=all=-N -l', '-ldflags=-s -w', '-o', program, '.'], {
    cwd: fileURLToPath(new URL('go', import.meta.url)),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false', GOTOOLCHAIN: 'local', GOWORK: 'off' },
  })
  return program
}

export const goClients = [
  'r3labs/sse',
  'tmaxmax/go-sse',
  'launchdarkly/eventsource',
  'bufio.Scanner of SSE',
  'bufio.Scanner of NDJSON',
] as const
export type GoClient = (typeof goClients)[number]

export const goClient =
  (program: string, name: GoClient): Client =>
  ({ url, key, got, failed }): Reading => {
    const child = spawn(program, [name, url, ...(key === undefined ? [] : [key])], { stdio: ['ignore', 'pipe', 'pipe'] })
    const { promise: ended, resolve } = Promise.withResolvers<number>()
    let end: number | undefined
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as Message | { readonly end: number }
      if ('end' in said) end = said.end
      else got(said)
    })
    let words = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text))
    child.on('error', failed)
    child.on('close', (code, signal) => {
      if (end !== undefined) resolve(end)
      else if (signal !== 'SIGKILL') failed(new Error(`the Go reader ended (${signal ?? code}): ${words}`))
    })
    return { ended, close: () => child.kill('SIGKILL') }
  }
