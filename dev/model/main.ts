// node dev/model/main.ts: the scripted model alone. MODEL_HOST and MODEL_PORT say where; Ctrl-C ends it.
import { startModel } from './server.ts'

const model = await startModel({ host: process.env.MODEL_HOST ?? '127.0.0.1', port: Number(process.env.MODEL_PORT ?? 0) })
console.log(model.url)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void model.close().then(() => process.exit(0)))
