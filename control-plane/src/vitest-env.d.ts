/// <reference types="@cloudflare/vitest-plugin/types" />

// What tests inside workerd see of the Worker under test.
declare namespace Cloudflare {
  interface Env extends Required<import('./config.ts').Env> {}
  interface GlobalProps {
    mainModule: typeof import('./testing/worker.ts')
  }
}
