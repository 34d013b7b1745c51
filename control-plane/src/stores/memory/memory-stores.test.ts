import { storesContract } from '../contract/contract.ts'
import type { StoresUnderTest } from '../contract/setup.ts'
import { memoryStores } from './memory-stores.ts'
import type { Stores } from '../stores.ts'

storesContract('memory', async (): Promise<StoresUnderTest> => {
  const fresh = () => memoryStores({ now: () => Date.now() })
  let stores: Stores = fresh()
  return {
    get stores() {
      return stores
    },
    reset: async () => {
      stores = fresh()
    },
    close: async () => {},
  }
})
