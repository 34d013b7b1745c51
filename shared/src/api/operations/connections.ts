import { defineOperation } from '../operation.ts'
import { attemptParams, clusterParams } from '../params.ts'

const upgrades = {
  method: 'GET',
  tag: 'connections',
  answers: { 101: { description: 'The connection is a WebSocket now; its frames are described in docs/protocol.md.' } },
  problems: ['UPGRADE_REQUIRED'],
  audit: null,
} as const

export const connectCluster = defineOperation({
  ...upgrades,
  id: 'connectCluster',
  path: '/v1/clusters/:id/connect',
  summary: 'Connect a cluster',
  description: 'The control socket of a cluster agent, with a key that has `cluster:connect` for this cluster.',
  scope: 'cluster:connect',
  project: 'cluster',
  params: clusterParams,
})

export const connectAttempt = defineOperation({
  ...upgrades,
  id: 'connectAttempt',
  path: '/v1/tasks/:id/attempts/:n/connect',
  summary: 'Connect an attempt',
  description: 'The line of a running attempt to its task’s log, with the token that came with its assignment.',
  scope: 'attempt',
  project: 'task',
  params: attemptParams,
})
