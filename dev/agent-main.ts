// The cluster agent as it is, with one addition: when the parent goes, it goes too.
import process from 'node:process'

process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
process.on('SIGINT', () => {})
process.send?.({ started: true })
await import('../cluster-agent/src/main.ts')
