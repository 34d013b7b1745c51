// The whole of vitest's configuration; run with `--config vitest.workspace.ts`. Limits are for what hangs, not for what is slow: at least five
// times what a test takes on a machine with nothing else to do.
import { availableParallelism } from 'node:os'
import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './dev/testing/longest-first.ts'

export default defineConfig({
  test: {
    // At least two: much of what is tested waits. Vitest would leave one processor for itself.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism() - 1)),
    sequence: { sequencer: LongestFirst },
    globalSetup: ['./dev/testing/left-behind.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          // A worker for each file would cost more than most files.
          isolate: false,
          include: ['{shared,control-plane,cluster-agent,dev,simulation}/**/*.test.ts'],
          exclude: ['**/node_modules/**', ...['workerd', 'cluster', 'busybox', 'fuzz', 'live'].map((suite) => `**/*.${suite}.test.ts`)],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        plugins: [
          cloudflareTest({
            main: './control-plane/src/testing/worker.ts',
            wrangler: { configPath: './wrangler.toml' },
            // The tests use stores of their own instead of Postgres; nothing connects to this address.
            miniflare: {
              bindings: { DATABASE_URL: 'postgres://test@localhost/test', RDEV_TOKEN_SECRET: 'only for tests, at least 32 characters' },
            },
          }),
        ],
        test: { name: 'workerd', include: ['control-plane/**/*.workerd.test.ts'], testTimeout: 60_000, hookTimeout: 120_000 },
      },
      {
        // Every scene with the real binaries. The end-to-end suite runs each of them too.
        test: {
          name: 'agents',
          isolate: false,
          include: ['cluster-agent/**/*.live.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        // Pods that have busybox and nothing else; dev/busybox.sh installs it.
        test: { name: 'busybox', include: ['cluster-agent/**/*.busybox.test.ts'], testTimeout: 150_000, hookTimeout: 150_000 },
      },
      {
        // Tests that PGlite cannot run, because it runs one statement at a time; needs RDEV_TEST_POSTGRES_URL.
        test: {
          name: 'postgres',
          include: ['dev/postgres-stores.test.ts', 'dev/neon-proxy/neon-proxy.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: { name: 'fuzz', include: ['control-plane/src/testing/fuzz/*.fuzz.test.ts'] },
      },
      {
        // The files of one worker share a stack (e2e/shared.ts).
        test: { name: 'e2e', include: ['e2e/*.test.ts'], testTimeout: 300_000, hookTimeout: 300_000, isolate: false },
      },
      {
        // Public clients of the event stream, from npm and in Go; dev/go.sh finds or installs Go, whose first build takes a while.
        test: { name: 'readers', include: ['e2e/readers/*.test.ts'], testTimeout: 180_000, hookTimeout: 600_000 },
      },
      {
        // Tasks that attack their pod. A time limit has a minute of grace in the agent, and the tests of one pod wait for each other.
        test: {
          name: 'hostile',
          include: ['e2e/hostile/*.hostile.test.ts'],
          testTimeout: 1_200_000,
          hookTimeout: 180_000,
          maxConcurrency: 100,
        },
      },
      {
        // Real processes are killed, frozen and cut off from each other; each file has a stack of its own.
        test: {
          name: 'chaos',
          include: ['e2e/chaos/*.chaos.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 180_000,
          maxWorkers: 2,
        },
      },
      {
        // The same attacks in a pod of a cluster, one after the other.
        test: { name: 'hostile-cluster', include: ['e2e/hostile/*.in-cluster.test.ts'], hookTimeout: 300_000 },
      },
      {
        test: {
          name: 'cluster',
          include: ['{cluster-agent,e2e}/**/*.cluster.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
