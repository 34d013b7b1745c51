import { build } from 'esbuild'
import { Miniflare, NoOpLog } from 'miniflare'
import { convertV4MiniflareOptions } from 'miniflare'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { repository } from '../dev/bundle.ts'

interface Bare {
  readonly url: string
  stop(): Promise<void>
}

/** The bare worker in workerd, its storage on disk like ours. */
export async function startBareWorker(): Promise<Bare> {
  const directory = await mkdtemp(`${tmpdir()}/rdev-bare-`)
  const { outputFiles } = await build({
    entryPoints: [`${repository}bench/worker/bare-worker.ts`],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
    external: ['cloudflare:*'],
  })
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      host: '127.0.0.1',
      port: 0,
      log: new NoOpLog(),
      cf: false,
      compatibilityDate: '2026-10-01',
      durableObjects: { LOG: { className: 'BareLog', useSQLite: true } },
      modules: [{ type: 'ESModule', path: 'main.js', contents: outputFiles[0]!.text }],
    }),
    resourcePersistencePath: directory,
  })
  const url = await miniflare.ready
  return {
    url: url.origin,
    stop: async () => {
      await miniflare.dispose()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The least that a worker can do with a request: read it whole and answer it. */
export async function startBareEcho(): Promise<Bare> {
  const contents = 'export default { fetch: async (request) => new Response(await request.text()) }'
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: '127.0.0.1',
      port: 0,
      log: new NoOpLog(),
      cf: false,
      compatibilityDate: '2026-10-01',
      modules: [{ type: 'ESModule', path: 'main.js', contents }],
    }),
  )
  const url = await miniflare.ready
  return { url: url.origin, stop: () => miniflare.dispose() }
}
