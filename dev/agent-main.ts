// The cluster agent as it is, with one addition: when the parent goes, it goes too. RDEV_AGENT_FILE: the bundle, which starts faster.
import process from 'node:process'

process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
process.on('SIGINT', () => {})
process.send?.({ started: true })
await import(process.env.RDEV_AGENT_FILE ?? '../cluster-agent/src/main.ts')
