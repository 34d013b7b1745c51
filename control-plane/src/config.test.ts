import { expect, test } from 'vitest'
import { ConfigError, readConfig } from './config.ts'

const good = {
  DATABASE_URL: 'postgres://user:password@host/db',
  NEON_FETCH_ENDPOINT: 'http://127.0.0.1:5000/sql',
  RDEV_ADMIN_KEY: 'an admin key of thirty-two chars',
  RDEV_TOKEN_SECRET: 'a secret of at least thirty-two characters',
}

test('reads what is set; an optional name that is empty or missing is not set', () => {
  expect(readConfig(good)).toEqual({
    databaseUrl: good.DATABASE_URL,
    fetchEndpoint: good.NEON_FETCH_ENDPOINT,
    adminKey: good.RDEV_ADMIN_KEY,
    tokenSecret: good.RDEV_TOKEN_SECRET,
  })
  const { DATABASE_URL, RDEV_TOKEN_SECRET } = good
  expect(readConfig({ DATABASE_URL, RDEV_TOKEN_SECRET, NEON_FETCH_ENDPOINT: '', RDEV_ADMIN_KEY: undefined })).toMatchObject({
    fetchEndpoint: undefined,
    adminKey: null,
  })
})

test('an admin key or token secret of fewer than 32 characters is refused', () => {
  for (const name of ['RDEV_ADMIN_KEY', 'RDEV_TOKEN_SECRET'] as const) {
    expect(() => readConfig({ ...good, [name]: 'x'.repeat(31) })).toThrow(`${name} must be at least 32 characters`)
    expect(() => readConfig({ ...good, [name]: 'x'.repeat(32) })).not.toThrow()
  }
})

test('lists every wrong name at once, and never a value', () => {
  const wrong = {
    DATABASE_URL: 'mysql://secret-1',
    NEON_FETCH_ENDPOINT: 'secret-2',
    RDEV_ADMIN_KEY: 'secret-3',
    RDEV_TOKEN_SECRET: 'secret-4',
  }
  const read = () => readConfig(wrong)
  expect(read).toThrow(ConfigError)
  for (const name of Object.keys(wrong)) expect(read).toThrow(name)
  expect(read).not.toThrow(/secret-/)
})
