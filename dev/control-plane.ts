// Runs the Worker in workerd on this computer, by Miniflare: the same bundle that is deployed, with Durable Object storage in a directory.
import { Miniflare, NoOpLog, convertV4MiniflareOptions } from 'miniflare'
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import process from 'node:process'
import type { Readable } from 'node:stream'
import type { unstable_getMiniflareWorkerOptions } from 'wrangler'
import { bundleControlPlane, repository } from './bundle.ts'
import { cacheDirectory } from './cache.ts'

export interface ControlPlaneOptions {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** The directory of the Durable Object storage. */
  readonly directory: string
  readonly vars: Readonly<Record<string, string>>
  /** An existing bundle, where several control planes are started from one build. */
  readonly bundle?: string
  /** Called with each chunk that workerd prints. */
  readonly onOutput?: (text: string) => void
}

export interface ControlPlane {
  readonly url: string
  stop(): Promise<void>
}

export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const bundle = options.bundle ?? (await bundleControlPlane())
  const workerOptions = await readWranglerToml()
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      ...workerOptions,
      host: options.host,
      port: options.port,
      log: new NoOpLog(),
      // Without this Miniflare fetches sample request properties from the network.
      cf: false,
      handleRuntimeStdio: (stdout: Readable, stderr: Readable) => {
        for (const stream of [stdout, stderr]) stream.on('data', (chunk: Buffer) => options.onOutput?.(chunk.toString()))
      },
      bindings: options.vars,
      modules: [{ type: 'ESModule', path: 'main.js', contents: await readFile(bundle, 'utf8') }],
    }),
    resourcePersistencePath: options.directory,
  })
  const url = await miniflare.ready
  return { url: url.origin, stop: () => miniflare.dispose() }
}

type WorkerOptions = ReturnType<typeof unstable_getMiniflareWorkerOptions>['workerOptions']

/** The options of Miniflare for wrangler.toml. They are cached, because importing wrangler takes 2 s of processor time. */
async function readWranglerToml(): Promise<WorkerOptions> {
  const toml = `${repository}wrangler.toml`
  const hash = createHash('sha256').update(repository)
  for (const file of [toml, `${repository}node_modules/wrangler/package.json`]) hash.update(await readFile(file))
  const kept = `${cacheDirectory}wrangler-${hash.digest('hex').slice(0, 16)}.json`
  const known = await readFile(kept, 'utf8').catch(() => undefined)
  if (known !== undefined) return JSON.parse(known) as WorkerOptions
  const wrangler = await import('wrangler')
  const { workerOptions } = wrangler.unstable_getMiniflareWorkerOptions(toml)
  await mkdir(cacheDirectory, { recursive: true })
  const aside = `${kept}.${process.pid}`
  await writeFile(aside, JSON.stringify(workerOptions))
  await rename(aside, kept)
  return workerOptions
}
