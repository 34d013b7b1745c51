// The suite that every set of stores passes: memory runs it here, Postgres in dev/postgres-stores.test.ts.
import { afterAll, beforeAll, beforeEach, describe } from 'vitest'
import { claimContract } from './claim.ts'
import { missingPodsContract } from './missing-pods.ts'
import { idempotencyContract } from './idempotency.ts'
import { insertContract } from './insert.ts'
import { laneContract } from './lanes.ts'
import { lifeContract } from './life.ts'
import { queueContract } from './queue.ts'
import { raceContract } from './races.ts'
import { readContract } from './reads.ts'
import { type Contract, contractSetup, type StoresUnderTest } from './setup.ts'
import { orderingKeyContract } from './ordering-keys.ts'

export function storesContract(name: string, open: () => Promise<StoresUnderTest>): void {
  describe(`stores on ${name}`, () => {
    let under: StoresUnderTest
    let bundle: Contract
    beforeAll(async () => {
      under = await open()
    })
    beforeEach(async () => {
      await under.reset()
      bundle = await contractSetup(under)
    })
    afterAll(() => under?.close())

    const setup = () => bundle
    readContract(setup)
    claimContract(setup)
    laneContract(setup)
    orderingKeyContract(setup)
    insertContract(setup)
    queueContract(setup)
    missingPodsContract(setup)
    idempotencyContract(setup)
    lifeContract(setup)
    raceContract(setup)
  })
}
