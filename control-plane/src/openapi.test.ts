import { operations as apiOperations } from '@rdev/shared/api/operations/operations'
import { expect, test } from 'vitest'
import { openApiDocument } from './openapi.ts'
import { setup as setupApi } from './testing/setup.ts'

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security: Record<string, unknown>[]
  parameters?: { name: string; in: string; required?: boolean }[]
  requestBody?: { content: Record<string, { schema: { $ref?: string } }> }
  responses: Record<string, { description: string; content?: Record<string, unknown> }>
}
interface Document {
  openapi: string
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> }
}

async function setup() {
  const { app, call } = await setupApi()
  const document = await (await call('GET', '/openapi.json', { key: null })).json<Document>()
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, path, ...operation })),
  )
  return { app, call, document, operations }
}

/** Every `$ref` anywhere in a value. */
function refsOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, item]) => (key === '$ref' && typeof item === 'string' ? [item] : refsOf(item)))
}

test('every route is in the document, and nothing else', async () => {
  const { app, operations } = await setup()
  const routes = app.routes
    .filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
  expect(operations.map(({ name }) => name).sort()).toEqual([...new Set(routes)].sort())
})

test('published ids do not change', async () => {
  const { operations } = await setup()
  expect(Object.fromEntries(operations.map(({ name, operationId }) => [name, operationId]))).toEqual({
    'POST /v1/tasks': 'createTask',
    'GET /v1/tasks': 'listTasks',
    'POST /v1/tasks/{id}/retry': 'retryTask',
    'GET /v1/tasks/{id}': 'getTask',
    'POST /v1/tasks/{id}/cancel': 'cancelTask',
    'POST /v1/tasks/{id}/tickets': 'createStreamTicket',
    'POST /v1/tasks/batch': 'createTasks',
    'GET /v1/queue': 'getQueue',
    'GET /v1/tasks/{id}/events': 'listTaskEvents',
    'POST /v1/projects/{id}/claude': 'runClaudeCode',
    'POST /v1/projects/{id}/opencode': 'runOpenCode',
    'POST /v1/projects/{id}/shell': 'runShell',
    'POST /v1/projects/{id}/git': 'runGit',
    'POST /v1/projects': 'createProject',
    'GET /v1/projects': 'listProjects',
    'GET /v1/projects/{id}': 'getProject',
    'PATCH /v1/projects/{id}': 'updateProject',
    'POST /v1/projects/{id}/pause': 'pauseProject',
    'POST /v1/projects/{id}/resume': 'resumeProject',
    'GET /v1/sessions': 'listSessions',
    'GET /v1/sessions/{id}': 'getSession',
    'GET /v1/workers': 'listWorkers',
    'GET /v1/providers': 'listProviders',
    'POST /v1/keys': 'createKey',
    'GET /v1/keys': 'listKeys',
    'GET /v1/keys/{id}': 'getKey',
    'DELETE /v1/keys/{id}': 'deleteKey',
    'POST /v1/keys/{id}/revoke': 'revokeKey',
    'GET /health': 'getHealth',
    'GET /ready': 'getReadiness',
    'GET /v1/clusters/{id}/connect': 'connectCluster',
    'GET /v1/tasks/{id}/attempts/{n}/connect': 'connectAttempt',
    'GET /openapi.json': 'getOpenApiDocument',
    'GET /docs': 'getReferencePage',
  })
})

test('the document is OpenAPI 3.1 whose references and names all resolve', async () => {
  const { document, operations } = await setup()
  expect(document.openapi).toBe('3.1.0')
  for (const ref of refsOf(document)) {
    const found = ref
      .slice(2)
      .split('/')
      .reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], document)
    expect(found, ref).toBeDefined()
  }
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
  for (const { name, path, tags, security, parameters = [] } of operations) {
    for (const tag of tags) expect(document.tags.map(({ name }) => name)).toContain(tag)
    for (const scheme of security.flatMap((one) => Object.keys(one))) expect(document.components.securitySchemes).toHaveProperty(scheme)
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
    expect(
      parameters.filter((p) => p.in === 'path' && p.required).map((p) => p.name),
      name,
    ).toEqual(inPath)
  }
})

test('each operation says what it does, who may, and how it can fail', async () => {
  const { operations } = await setup()
  for (const { name, summary, security, responses, requestBody } of operations) {
    expect(summary, name).not.toBe('')
    const open = /^GET \/(health|ready|docs|openapi\.json)$/.test(name)
    expect(security.length === 0, name).toBe(open)
    if (!open) expect(responses, name).toMatchObject({ 401: { content: { 'application/problem+json': {} } } })
    expect(responses, name).toHaveProperty('500')
    if (requestBody) expect(Object.keys(responses), name).toEqual(expect.arrayContaining(['400', '413', '415']))
  }
})

test('what creates tasks takes an Idempotency-Key, and says what it can answer', async () => {
  const { operations } = await setup()
  const takes = operations.filter(({ parameters = [] }) => parameters.some(({ name }) => name === 'Idempotency-Key'))
  const creating = [
    '/v1/tasks',
    '/v1/tasks/batch',
    '/v1/tasks/{id}/retry',
    ...['claude', 'opencode', 'shell', 'git'].map((form) => `/v1/projects/{id}/${form}`),
  ]
  expect(takes.map(({ name }) => name).sort()).toEqual(creating.map((path) => `POST ${path}`).sort())
  for (const { responses, name } of takes) {
    expect(Object.keys(responses), name).toEqual(expect.arrayContaining(['400', '409', '422']))
    expect(responses[name.endsWith('batch') ? 200 : 202], name).toMatchObject({ headers: { 'Idempotency-Replayed': {} } })
  }
})

test('bodies are the schemas that validate', async () => {
  const { document } = await setup()
  expect(document.paths['/v1/tasks']?.post?.requestBody).toMatchObject({
    required: true,
    content: { 'application/json': { schema: { $ref: '#/components/schemas/CreateTask' } } },
  })
  expect(document.components.schemas.CreateTasks).toMatchObject({
    properties: { tasks: { items: { $ref: '#/components/schemas/CreateTask' }, minItems: 1, maxItems: 500 } },
  })
  expect(document.components.schemas.CreateShellTask).toMatchObject({
    additionalProperties: false,
    required: ['kind', 'project_id', 'command'],
  })
})

test('the page shows every operation and schema, runs nothing and loads nothing', async () => {
  const { call, operations, document } = await setup()
  const response = await call('GET', '/docs', { key: null })
  const page = await response.text()
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
  for (const { operationId } of operations) expect(page).toContain(`id="${operationId}"`)
  for (const name of Object.keys(document.components.schemas)) expect(page).toContain(`id="schema-${name}"`)
  expect(page).not.toMatch(/<script|<link|src=|https?:\/\/(?!localhost)|undefined|\[object/)
  const anchors = [...page.matchAll(/href="#([^"]+)"/g)].map((match) => match[1])
  for (const anchor of anchors) expect(page, anchor).toContain(`id="${anchor}"`)
  expect(openApiDocument(apiOperations)).toEqual(document)
})

test('numbers of a query and records are shown as what they are, with their defaults', async () => {
  const { document } = await setup()
  const parameters = document.paths['/v1/tasks']?.get?.parameters as { name: string; schema: object }[] | undefined
  expect(parameters?.find(({ name }) => name === 'limit')).toMatchObject({
    schema: { type: 'integer', minimum: 1, maximum: 200, default: 50 },
  })
  expect(document.components.schemas.CreateShellTask).toMatchObject({
    properties: {
      labels: { type: 'object', default: {}, additionalProperties: { type: 'string', maxLength: 256 } },
      env: { type: 'object', default: {} },
    },
  })
})
