// The database as a program of its own: a statement takes its thread, and nobody else's latency should pay for that.
import { startDatabase } from './neon-proxy/embedded.ts'
import type { DatabaseOptions } from './neon-proxy/embedded.ts'

const database = await startDatabase(JSON.parse(process.env.RDEV_DATABASE ?? '{}') as DatabaseOptions)
const stop = () => void database.close().finally(() => process.exit(0))
process.once('SIGTERM', stop)
process.once('disconnect', stop)
// A parent in a terminal stops us itself, in its order.
process.on('SIGINT', () => {})
process.send?.({ connectionString: database.connectionString, fetchEndpoint: database.fetchEndpoint })
