import { build } from 'esbuild'
import { Miniflare, NoOpLog } from 'miniflare'
import { convertV4MiniflareOptions } from 'miniflare'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { repository } from '../dev/bundle.ts'

/** The bare worker in workerd, its storage on disk like ours. */
export async function startBareWorker(): Promise<{ url: string; stop(): Promise<void> }> {
  const directory = await mkdtemp(`${tmpdir()}/rdev-bare-`)
  const { outputFiles } = await build({
    entryPoints: [`${repository}bench/bare-worker.ts`],
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
