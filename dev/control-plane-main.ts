// The control plane as a program of its own. It ends when its parent ends.
import { startControlPlane } from './control-plane.ts'

const options = JSON.parse(process.env.RDEV_CONTROL_PLANE ?? '{}') as {
  host: string
  port: number
  directory: string
  bundle: string
  vars: Record<string, string>
}
const controlPlane = await startControlPlane({ ...options, onOutput: (text) => process.stderr.write(text) })

const stop = () => void controlPlane.stop().finally(() => process.exit(0))
process.once('SIGTERM', stop)
process.once('disconnect', stop)
// In a terminal, Ctrl-C reaches the whole group. The parent stops its programs itself, in the right order.
process.on('SIGINT', () => {})
process.send?.({ url: controlPlane.url })
