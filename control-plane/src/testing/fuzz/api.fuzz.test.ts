// `npm run fuzz`: requests drawn from the operations, answered in this process, and judged by the document. RDEV_FUZZ_REQUESTS says how many,
// RDEV_FUZZ_SEED repeats a run; a failure prints its seed and the smallest request that shows it.

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { judge } from './judge.ts'
import { requests } from './requests.ts'
import type { FuzzRequest } from './requests.ts'
import { makeWorld } from './world.ts'
import type { World } from './world.ts'

/** Node's: the other files of this room run in a Worker. */
declare const process: {
  readonly env: Readonly<Record<string, string | undefined>>
  threadCpuUsage(before?: Usage): Usage
}
interface Usage {
  readonly user: number
  readonly system: number
}

const count = Number(process.env['RDEV_FUZZ_REQUESTS'] ?? 2_000)
const seed = Number(process.env['RDEV_FUZZ_SEED'] ?? Date.now() % 2 ** 31)
/** One request has less of the thread that all share. Processor time, so that other programs do not count. */
const maxProcessorMs = 100
/** A world grows by what is created in it. */
const requestsOfWorld = 300
/** Until everything was compiled once. */
const warmUp = 500

test(
  `${count} requests of every kind and caller: none breaks the API, and each answer is one that the document promises`,
  async () => {
    let world: World | undefined
    let sent = 0
    const statuses = new Map<string, number>()
    let slowest: { ms: number; request: FuzzRequest } | undefined

    /** The most that one of its sendings took. */
    const timed = async (request: FuzzRequest, one: World) => {
      let ms = 0
      let status = 0
      for (let sending = request.twice ? 2 : 1; sending > 0; sending--) {
        const before = process.threadCpuUsage()
        const response = await one.send(request)
        await judge(request, response)
        const { user, system } = process.threadCpuUsage(before)
        ms = Math.max(ms, (user + system) / 1_000)
        status = response.status
      }
      return { ms, status }
    }
    const run = async (request: FuzzRequest) => {
      if (world === undefined || sent % requestsOfWorld === 0) world = await makeWorld()
      sent++
      let { ms, status } = await timed(request, world)
      // A collection of garbage of earlier requests may have come in between: it is slow if it is slow again.
      if (sent > warmUp) {
        // A collection of garbage of earlier requests may have come in between: it is slow if it is slow again.
        for (let again = 0; again < 3 && ms > maxProcessorMs; again++) ms = Math.min(ms, (await timed(request, world)).ms)
        if (ms > (slowest?.ms ?? 0)) slowest = { ms, request }
        if (ms > maxProcessorMs) throw new Error(`took ${ms} ms of the processor`)
      }
      const name = `${request.made} ${Math.floor(status / 100)}xx`
      statuses.set(name, (statuses.get(name) ?? 0) + 1)
    }

    const result = await fc.check(fc.asyncProperty(requests, run), { numRuns: count, seed })
    const told = Object.fromEntries([...statuses].sort())
    console.log(`fuzz: seed ${seed}, ${sent} requests, ${JSON.stringify(told)}`)
    if (slowest) console.log(`fuzz: the slowest took ${slowest.ms.toFixed(1)} ms of the processor: ${shown(slowest.request)}`)
    if (result.failed) {
      const [request] = result.counterexample ?? []
      expect.fail(`RDEV_FUZZ_SEED=${seed}: ${request && shown(request)}\n${String(result.errorInstance)}`)
    }
    // A generator whose valid requests are refused would prove nothing.
    const share = (statuses.get('valid 2xx') ?? 0) / sent
    expect(share).toBeGreaterThan(0.01)
  },
  30 * 60_000,
)

const shown = (request: FuzzRequest) =>
  JSON.stringify(request, (_, value: unknown) => (typeof value === 'string' ? value.slice(0, 300) : value))
