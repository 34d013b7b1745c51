import { defineOperation, json } from '../operation.ts'
import { keyParams } from '../params.ts'
import { createKeySchema, createdKeySchema, keyPageSchema, keySchema, listQuery, revokedKeySchema, revokeKeyQuery } from '../resources.ts'

// Not `idempotent`: a replayed answer must be stored, and this answer holds the secret.
export const createKey = defineOperation({
  id: 'createKey',
  method: 'POST',
  path: '/v1/keys',
  summary: 'Create an API key',
  description:
    'The key is shown this one time. A key can grant only scopes, projects and time that it has itself, and `cluster:connect` only if it is of every project.',
  tag: 'keys',
  scope: 'keys:write',
  project: 'body.project_ids',
  body: createKeySchema,
  answers: { 201: json('The new key.', createdKeySchema, { location: 'Where the key reads back, without its secret.' }) },
  audit: 'key.create',
})

export const listKeys = defineOperation({
  id: 'listKeys',
  method: 'GET',
  path: '/v1/keys',
  summary: 'List API keys',
  description: 'Newest first. A key with a list of projects sees only keys inside that list.',
  tag: 'keys',
  scope: 'keys:read',
  project: 'caller',
  query: listQuery,
  answers: { 200: json('A page of keys.', keyPageSchema) },
  audit: null,
})

export const getKey = defineOperation({
  id: 'getKey',
  method: 'GET',
  path: '/v1/keys/:id',
  summary: 'Read an API key',
  tag: 'keys',
  scope: 'keys:read',
  project: 'key',
  params: keyParams,
  answers: { 200: json('The key, without its secret.', keySchema) },
  audit: null,
})

const revokesKey = {
  description: 'Takes effect within 5 s everywhere, and ends open streams within 60 s. Safe to repeat.',
  tag: 'keys',
  scope: 'keys:write',
  project: 'key',
  params: keyParams,
  query: revokeKeyQuery,
  answers: { 200: json('The revoked key, and the valid keys that it made.', revokedKeySchema) },
  problems: ['FORBIDDEN'],
  audit: 'key.revoke',
} as const

export const revokeKey = defineOperation({
  ...revokesKey,
  id: 'revokeKey',
  method: 'POST',
  path: '/v1/keys/:id/revoke',
  summary: 'Revoke an API key',
})

export const deleteKey = defineOperation({
  ...revokesKey,
  id: 'deleteKey',
  method: 'DELETE',
  path: '/v1/keys/:id',
  summary: 'Revoke an API key (the same as POST …/revoke)',
})
