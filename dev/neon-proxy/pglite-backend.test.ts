import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, expect, it } from 'vitest'
import { openPGlite } from './pglite-backend.ts'
import { emptyDatabase } from './pglite-template.ts'

async function setup() {
  const home = await mkdtemp(join(tmpdir(), 'rdev-pglite-'))
  onTestFinished(() => rm(home, { recursive: true, force: true }))
  return { directory: join(home, 'data'), lock: join(home, 'data.lock') }
}
const query = (sql: string) => ({ sql, params: [] })

it('keeps what it answered when its process is killed, and the next takes the lock over', async () => {
  const { directory, lock } = await setup()
  const program = `
    import { openPGlite } from ${JSON.stringify(new URL('./pglite-backend.ts', import.meta.url).href)}
    import { emptyDatabase } from ${JSON.stringify(new URL('./pglite-template.ts', import.meta.url).href)}
    const db = await openPGlite(${JSON.stringify(directory)}, await emptyDatabase())
    await db.query({ sql: 'create table t (x int)', params: [] })
    await db.query({ sql: 'insert into t values (1)', params: [] })
    process.stdout.write('written')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  await expect(openPGlite(directory)).rejects.toThrow(`in use by process ${child.pid}`)
  child.kill('SIGKILL')
  await once(child, 'exit')

  const db = await openPGlite(directory)
  expect((await db.query(query('select x from t'))).rows).toEqual([['1']])
  expect(await readFile(lock, 'utf8')).toBe(String(process.pid))
  await db.close()
  await expect(readFile(lock)).rejects.toThrow('ENOENT')
})

it('takes over a lock that names nobody', async () => {
  const { directory, lock } = await setup()
  await writeFile(lock, '')
  const db = await openPGlite(directory, await emptyDatabase())
  expect((await db.query(query('select 1'))).rows).toEqual([['1']])
  await db.close()
})

it('refuses work after its end', async () => {
  const db = await openPGlite(undefined, await emptyDatabase())
  await db.close()
  await db.close()
  await expect(db.query(query('select 1'))).rejects.toThrow('closed')
})

it('a new one begins with the contents that it is given, an old one keeps its own', async () => {
  const { directory } = await setup()
  const first = await openPGlite(directory, await emptyDatabase())
  await first.query(query('create table kept (x int)'))
  await first.close()
  const again = await openPGlite(directory, await emptyDatabase())
  expect((await again.query(query('select x from kept'))).rows).toEqual([])
  const copy = await openPGlite(undefined, await again.dump())
  expect((await copy.query(query('select x from kept'))).rows).toEqual([])
  await again.close()
  await copy.close()
})
