// The directory of what is made once and used by later starts. It is in node_modules, so it is removed with it.
import { fileURLToPath } from 'node:url'

export const cacheDirectory = fileURLToPath(new URL('../node_modules/.cache/rdev/', import.meta.url))
