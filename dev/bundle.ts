// Builds both programs. The Worker's bundle is the same whether Miniflare runs it here or wrangler deploys it.
import { build } from 'esbuild'
import type { Plugin } from 'esbuild'
import { copyFile, mkdir, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

export const repository = fileURLToPath(new URL('..', import.meta.url))

/** Bundles the Worker for workerd into one module; answers its path. */
export async function bundleControlPlane(
  outFile = `${repository}dist/control-plane/main.js`,
  plugins: readonly Plugin[] = [],
): Promise<string> {
  await build({
    entryPoints: [`${repository}control-plane/src/main.ts`],
    outfile: outFile,
    bundle: true,
    format: 'esm',
    target: 'es2024',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['workerd', 'worker', 'import'],
    external: ['cloudflare:*', 'node:*'],
    sourcemap: 'linked',
    logLevel: 'error',
    plugins: [...plugins],
  })
  return outFile
}

/** Bundles the agent for Node with all its dependencies, so that its image has one directory and no node_modules. */
export async function bundleClusterAgent(outDir = `${repository}dist/cluster-agent`): Promise<string> {
  // The parts of an earlier build have other names.
  await rm(outDir, { recursive: true, force: true })
  await mkdir(outDir, { recursive: true })
  await build({
    entryPoints: [`${repository}cluster-agent/src/main.ts`],
    outdir: outDir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    // Dynamic imports (the Kubernetes client has 19 MB) are files of their own, which are read only when they are needed.
    splitting: true,
    target: 'node24',
    platform: 'node',
    // Dependencies in CommonJS call require(); ES modules have none.
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
    sourcemap: 'linked',
    logLevel: 'error',
  })
  // The program reads the scripts for the pods from its own directory.
  for (const script of ['common.sh', 'main.sh', 'supervisor.sh', 'start.sh', 'control.sh'])
    await copyFile(`${repository}cluster-agent/src/pods/${script}`, `${outDir}/${script}`)
  return `${outDir}/main.mjs`
}
