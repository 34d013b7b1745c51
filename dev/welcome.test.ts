import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { loadSecrets } from './secrets.ts'
import { welcome } from './welcome.ts'

const at = { url: 'http://127.0.0.1:8787', adminKey: 'rdev_sk_the_key', keyFile: '/data/secrets.json', terminal: true, taskId: 'task_1' }

test('a terminal gets lines that work as they are', () => {
  const text = welcome(at).join('\n')
  expect(text).toContain('Admin key: rdev_sk_the_key')
  expect(text.match(/Bearer rdev_sk_the_key"/g)).toHaveLength(3)
})

test('a file or a pipe gets no key, only where it is', () => {
  for (const keyFile of [at.keyFile, undefined]) {
    const text = welcome({ ...at, keyFile, terminal: false }).join('\n')
    expect(text).not.toContain('rdev_sk_the_key')
    expect(text).toContain(keyFile ?? 'the value of RDEV_ADMIN_KEY')
  }
})

test('the line for a shell reads the key from the file', async () => {
  const directory = await mkdtemp(`${tmpdir()}/rdev-welcome-`)
  try {
    const { adminKey } = await loadSecrets(directory)
    const lines = welcome({ ...at, adminKey, keyFile: `${directory}/secrets.json`, terminal: false })
    const line = lines.find((line) => line.includes('RDEV_ADMIN_KEY=$('))
    expect(execFileSync('sh', ['-c', `${line} printf %s "$RDEV_ADMIN_KEY"`], { encoding: 'utf8' })).toBe(adminKey)
  } finally {
    await rm(directory, { recursive: true })
  }
})
