import { expect, test } from 'vitest'
import { ConfigError, readConfig } from './config.ts'

const good = { RDEV_URL: 'https://rdev.example', RDEV_CLUSTER_ID: 'home', RDEV_CLUSTER_KEY: 'rdev_sk_secret' }
const wrong = (env: Record<string, string>): string => {
  try {
    readConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return ''
}

test('little is needed; the rest has defaults', () => {
  expect(readConfig(good)).toMatchObject({
    url: good.RDEV_URL,
    pods: { host: 'kubernetes', namespace: 'rdev' },
    orphanTtlS: 1800,
    stopAttemptsOnExit: false,
    logLevel: 'info',
  })
})

test('local pods come as JSON', () => {
  const pod = { name: 'demo', role: 'project', project_id: 'demo', directory: '/tmp/demo' }
  const { pods } = readConfig({ ...good, RDEV_POD_HOST: 'local', RDEV_LOCAL_PODS: JSON.stringify([pod]), PATH: '/bin' })
  expect(pods).toEqual({
    host: 'local',
    path: '/bin',
    list: [{ ...pod, slots: 1, env: {}, allow_bypass_permissions: false, providers: [] }],
  })
})

test('everything that is wrong is named at once, without a value', () => {
  const message = wrong({
    RDEV_URL: 'ftp://secret',
    RDEV_CLUSTER_KEY: '',
    RDEV_POD_HOST: 'secret',
    RDEV_LOCAL_PODS: 'secret',
    RDEV_ORPHAN_TTL_S: '-5.5',
    RDEV_LOG_LEVEL: 'secret',
    RDEV_STOP_ATTEMPTS_ON_EXIT: 'secret',
  })
  for (const name of ['URL', 'CLUSTER_ID', 'CLUSTER_KEY', 'POD_HOST', 'LOCAL_PODS', 'ORPHAN_TTL_S', 'LOG_LEVEL', 'STOP_ATTEMPTS_ON_EXIT']) {
    expect(message).toContain(`RDEV_${name}`)
  }
  expect(message).not.toMatch(/secret|5\.5/)
})

test('the local host needs its pods', () => {
  expect(wrong({ ...good, RDEV_POD_HOST: 'local' })).toContain('RDEV_LOCAL_PODS')
})
