// The cluster agent as a program of the stack: it ends when its parent ends. RDEV_AGENT_FILE: the bundle, which starts faster.
import process from 'node:process'

process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
process.on('SIGINT', () => {})
process.send?.({ started: true })
await import(process.env.RDEV_AGENT_FILE ?? '../cluster-agent/src/main.ts')
