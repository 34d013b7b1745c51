// The database as a program of its own, because a statement blocks its thread and would delay everything else there.
import { startDatabase } from './neon-proxy/embedded.ts'
import type { DatabaseOptions } from './neon-proxy/embedded.ts'

const database = await startDatabase(JSON.parse(process.env.RDEV_DATABASE ?? '{}') as DatabaseOptions)
const stop = () => void database.close().finally(() => process.exit(0))
process.once('SIGTERM', stop)
process.once('disconnect', stop)
// In a terminal, Ctrl-C reaches the whole group. The parent stops its programs itself, in the right order.
process.on('SIGINT', () => {})
process.send?.({ connectionString: database.connectionString, fetchEndpoint: database.fetchEndpoint })
