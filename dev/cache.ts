// What is made once and used by later starts. It goes with node_modules.
import { fileURLToPath } from 'node:url'

export const cacheDirectory = fileURLToPath(new URL('../node_modules/.cache/rdev/', import.meta.url))
