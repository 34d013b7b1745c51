// The API in this process on memory stores, with one object of each kind, a key of each kind, and a way to send it a request that is data.

import { scopes } from '@rdev/shared/domain/api-key'
import { adminKey, setup } from '../setup.ts'

export const callerNames: readonly string[] = [
  'admin',
  'everything',
  'of demo',
  'of other',
  'expired',
  'revoked',
  'cluster',
  'made up',
  'nobody',
  'by ticket',
  'attempt',
].concat(scopes)

export interface World {
  /** Sends it; `path`, `query` and a body of text may name ids of this world (`@queued`). */
  send(request: {
    method: string
    path: string
    query: string
    caller: string
    headers: Readonly<Record<string, string>>
    body: string | Uint8Array | null
  }): Promise<Response>
}

export async function makeWorld(): Promise<World> {
  const api = await setup()
  // Nobody waits: a wait of 60 s would be one of a run.
  Object.assign(api.deps.logs, { ended: async () => false })
  const queued = await api.createTask()
  const running = await api.createTask({ kind: 'agent', project_id: 'demo', prompt: 'x', workspace: null })
  await api.start(running.id)
  const ended = await api.createTask({ ...api.shellTask, workspace: 'other' })
  await api.start(ended.id)
  api.logs.append(ended.id, 'output', { stream: 'stdout', text: 'x' })
  await api.finish(ended.id)
  const theirs = await api.createTask({ ...api.shellTask, project_id: 'other' })

  const day = 86_400_000
  const now = api.clock.now()
  const key = async (more: Parameters<typeof api.makeKey>[0]) => (await api.makeKey(more)).key
  const { row } = await api.makeKey()
  const claims = {
    kind: 'attempt' as const,
    task_id: running.id,
    attempt: 1,
    cluster_id: 'home',
    epoch: 1,
    key_id: row.id,
    expires_at: now + day,
  }
  const keys: Record<string, string | null> = {
    admin: adminKey,
    everything: await key({}),
    'of demo': await key({ project_ids: ['demo'] }),
    'of other': await key({ project_ids: ['other'] }),
    expired: await key({ expires_at: now - 1 }),
    revoked: await key({ revoked_at: now - day }),
    cluster: await key({ scopes: ['cluster:connect'], cluster_id: 'home' }),
    'made up': 'rdev_sk_nonsense',
    nobody: null,
    'by ticket': null,
    attempt: await api.deps.tokens.sign(claims),
  }
  for (const scope of scopes) keys[scope] = await key({ scopes: [scope] })
  const ticket = await api.deps.tokens.sign({ kind: 'stream', task_id: ended.id, key_id: row.id, expires_at: now + day })

  const ids: Readonly<Record<string, string>> = {
    '@queued': queued.id,
    '@running': running.id,
    '@ended': ended.id,
    '@theirs': theirs.id,
    '@session': running.session_id ?? '',
    '@key': row.id,
  }
  const named = (text: string) => text.replaceAll(/@(queued|running|ended|theirs|session|key)\b/g, (name) => ids[name] ?? name)

  return {
    async send({ method, path, query, caller, headers, body }) {
      const presented = keys[caller]
      const withTicket = caller === 'by ticket' ? [query, `ticket=${ticket}`].filter(Boolean).join('&') : query
      const text = typeof body === 'string' ? named(body) : body
      const sends = text !== null && method !== 'GET' && method !== 'HEAD'
      return api.app.request(`http://fuzz${named(path)}${withTicket === '' ? '' : `?${named(withTicket)}`}`, {
        method,
        headers: { ...(presented != null && { authorization: `Bearer ${presented}` }), ...headers },
        ...(sends && { body: text }),
      })
    },
  }
}
