import { bundleClusterAgent, bundleControlPlane } from './bundle.ts'

for (const file of await Promise.all([bundleControlPlane(), bundleClusterAgent()])) console.log(`built ${file}`)
