// The Worker in workerd on this machine, by Miniflare: the bundle that also deploys, Durable Object storage kept in a directory.
import { Miniflare, NoOpLog, convertV4MiniflareOptions } from 'miniflare'
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { unstable_getMiniflareWorkerOptions } from 'wrangler'
import { bundleControlPlane, repository } from './bundle.ts'

export interface ControlPlaneOptions {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** Durable Object storage. */
  readonly directory: string
  readonly vars: Readonly<Record<string, string>>
  /** An existing bundle, when several control planes are started from one build. */
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
  const { workerOptions } = unstable_getMiniflareWorkerOptions(`${repository}wrangler.toml`)
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      ...workerOptions,
      host: options.host,
      port: options.port,
      log: new NoOpLog(),
      // Without this Miniflare asks the network for a sample of request properties.
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
