// The program of the cluster agent. On SIGTERM or SIGINT it leaves in good order; on a second one it exits at once.

import { compose } from './compose.ts'
import { ConfigError, readConfig } from './config.ts'
import { createLog } from './log.ts'

function config() {
  try {
    return readConfig(process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(2)
  }
}

const settings = config()
const log = createLog(
  settings.logLevel,
  (line) => process.stdout.write(line),
  () => Date.now(),
)
const agent = compose(settings, { log })

let leaving = false
function leave(signal: NodeJS.Signals): void {
  if (leaving) {
    log('warn', 'agent exits at once', { signal })
    process.exit(1)
  }
  leaving = true
  log('info', 'agent leaves', { signal, stop_attempts: settings.stopAttemptsOnExit })
  void agent.stop().then(
    () => process.exit(0),
    (error: unknown) => {
      log('error', 'agent could not leave in good order', { error: error instanceof Error ? error.message : 'unknown' })
      process.exit(1)
    },
  )
}
process.on('SIGTERM', leave)
process.on('SIGINT', leave)

log('info', 'agent started', { cluster_id: settings.clusterId, pod_host: settings.pods.host })
agent.start()
