// The suite that every set of stores passes: memory runs it here, Postgres in dev/postgres-stores.test.ts.
import { afterAll, beforeAll, beforeEach, describe } from 'vitest'
import { claimContract } from './contract-claim.ts'
import { homelessContract } from './contract-homeless.ts'
import { idempotencyContract } from './contract-idempotency.ts'
import { insertContract } from './contract-insert.ts'
import { laneContract } from './contract-lanes.ts'
import { lifeContract } from './contract-life.ts'
import { queueContract } from './contract-queue.ts'
import { raceContract } from './contract-races.ts'
import { readContract } from './contract-reads.ts'
import { type Contract, contractSetup, type StoresUnderTest } from './contract-setup.ts'
import { turnContract } from './contract-turns.ts'

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
    turnContract(setup)
    insertContract(setup)
    queueContract(setup)
    homelessContract(setup)
    idempotencyContract(setup)
    lifeContract(setup)
    raceContract(setup)
  })
}
