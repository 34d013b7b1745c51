import { operations } from '@rdev/shared/api/operations/operations'
import { getHealth } from '@rdev/shared/api/operations/service'
import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { setup as setupApi } from '../testing/setup.ts'
import { handle, operationOf } from './endpoint.ts'
import type { AppEnv } from './env.ts'

async function setup() {
  const { app, call } = await setupApi()
  const routes = app.routes.filter(({ method }) => method !== 'ALL')
  return { app, call, routes }
}

test('every operation has a handler, behind its checks, and nothing else is at its path', async () => {
  const { routes } = await setup()
  for (const operation of operations) {
    const its = routes.filter(({ method, path }) => method === operation.method && path === operation.path)
    expect(
      its.map(({ handler }) => operationOf(handler)),
      operation.id,
    ).toEqual([operation, undefined])
  }
})

test('every handler has an operation of the list', async () => {
  const { routes } = await setup()
  const listed = new Set(operations.map(({ method, path }) => `${method} ${path}`))
  for (const { method, path } of routes) expect(listed).toContain(`${method} ${path}`)
})

test('middleware for every request adds no route', async () => {
  const { app } = await setup()
  const paths = app.routes.filter(({ method }) => method === 'ALL').map(({ path }) => path)
  expect(new Set(paths)).toEqual(new Set(['/*']))
})

test('a handler knows its operation', async () => {
  const app = new Hono<AppEnv>()
  handle(app, getHealth, (c) => c.text(c.var.operation.id))
  expect(await (await app.request('/health')).text()).toBe('getHealth')
})
