// A key is `rdev_sk_<8 public>_<32 secret><6 checksum>`, all base 62. By the checksum a malformed key is refused without a query. Only the
// SHA-256 of the whole key is stored.

export const scopes = [
  'tasks:read',
  'tasks:write',
  'sessions:read',
  'projects:read',
  'projects:write',
  'workers:read',
  'keys:read',
  'keys:write',
  'cluster:connect',
  'admin',
] as const
export type Scope = (typeof scopes)[number]

/**
 * How far each scope reaches. `projects`: the objects of the key's projects. `service`: what no list of projects can bound, as a cluster's
 * socket, which gets the tasks of all projects of the cluster. A key with a list of projects has no scope of the service.
 */
const reach: Readonly<Record<Scope, 'projects' | 'service'>> = {
  'tasks:read': 'projects',
  'tasks:write': 'projects',
  'sessions:read': 'projects',
  'projects:read': 'projects',
  'projects:write': 'projects',
  'workers:read': 'projects',
  'keys:read': 'projects',
  'keys:write': 'projects',
  'cluster:connect': 'service',
  // Everything that the key's projects bound, and only for a key of every project also the rest.
  admin: 'projects',
}
export const isServiceWide = (scope: Scope): boolean => reach[scope] === 'service'
export const serviceWideScopes: readonly Scope[] = scopes.filter(isServiceWide)

export interface ApiKey {
  readonly id: string
  readonly name: string
  /** The 8 public characters, unique. */
  readonly prefix: string
  /** SHA-256 of the key, hex. */
  readonly hash: string
  readonly scopes: readonly Scope[]
  /** Null: every project. */
  readonly project_ids: readonly string[] | null
  /** With `cluster:connect`: the only cluster that the key may speak for. */
  readonly cluster_id: string | null
  /** With `cluster:connect`: projects that the cluster may register by reporting their pods. Those that it has already go on without. */
  readonly cluster_project_ids: readonly string[]
  readonly created_by: string
  readonly created_at: number
  readonly expires_at: number | null
  readonly revoked_at: number | null
}

/** The authenticated caller. Use cases get this, never the key. */
export interface Caller {
  readonly key_id: string
  readonly scopes: readonly Scope[]
  readonly project_ids: readonly string[] | null
  readonly cluster_id: string | null
  readonly cluster_project_ids: readonly string[]
  /** When its key ends; null: never. */
  readonly expires_at: number | null
}

export const hasScope = (caller: Pick<Caller, 'scopes' | 'project_ids'>, scope: Scope): boolean =>
  (caller.scopes.includes(scope) || (scope !== 'cluster:connect' && caller.scopes.includes('admin'))) &&
  (caller.project_ids === null || !isServiceWide(scope))

/** Why the key is refused; null: it is valid. */
export const refusalOf = (key: Pick<ApiKey, 'revoked_at' | 'expires_at'>, now: number): 'KEY_REVOKED' | 'KEY_EXPIRED' | null => {
  if (key.revoked_at !== null) return 'KEY_REVOKED'
  return key.expires_at !== null && key.expires_at <= now ? 'KEY_EXPIRED' : null
}

/** Whether the key speaks for the cluster now: asked at the door of its sockets, and again while they are open. Undefined: there is no such key. */
export const speaksFor = (key: ApiKey | undefined, clusterId: string, now: number): boolean =>
  key !== undefined && key.cluster_id === clusterId && hasScope(key, 'cluster:connect') && refusalOf(key, now) === null

export const mayUseProject = (caller: Pick<Caller, 'project_ids'>, projectId: string): boolean =>
  caller.project_ids === null || caller.project_ids.includes(projectId)

/** Whether all projects of the key are among these; null: all projects. A caller that is restricted to them sees only such keys. */
export const liesWithin = (key: Pick<ApiKey, 'project_ids'>, projects: readonly string[] | null): boolean =>
  projects === null || (key.project_ids !== null && key.project_ids.every((id) => projects.includes(id)))

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const publicLength = 8
const secretLength = 32
const checksumLength = 6

/** CRC-32 (IEEE 802.3, reflected 0xEDB88320), bitwise: a key has 40 characters, so a table would not pay. */
function crc32(text: string): number {
  let crc = 0xffffffff
  for (let i = 0; i < text.length; i++) {
    crc ^= text.charCodeAt(i) & 0xff
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1))
  }
  return (crc ^ 0xffffffff) >>> 0
}

function checksum(body: string): string {
  let rest = crc32(body)
  let out = ''
  for (let i = 0; i < checksumLength; i++) {
    out = base62[rest % 62] + out
    rest = Math.floor(rest / 62)
  }
  return out
}

/**
 * `random` is 80 bytes. Bytes of 248 and over are skipped, so that all characters are equally likely (62 × 4 = 248). Throws RangeError if too
 * few bytes are left.
 */
export function newApiKey(random: Uint8Array): { key: string; prefix: string } {
  let text = ''
  for (const byte of random) {
    if (byte < 248 && text.length < publicLength + secretLength) text += base62[byte % 62]
  }
  if (text.length < publicLength + secretLength) throw new RangeError('newApiKey needs more random bytes')
  const prefix = text.slice(0, publicLength)
  const body = `rdev_sk_${prefix}_${text.slice(publicLength)}`
  return { key: body + checksum(body), prefix }
}

/** The public part of a well-formed key; undefined for anything else, so that a malformed key never reaches the database. */
export function parseApiKey(key: string): { prefix: string } | undefined {
  const match = /^(rdev_sk_([0-9A-Za-z]{8})_[0-9A-Za-z]{32})([0-9A-Za-z]{6})$/.exec(key)
  return match && checksum(match[1]!) === match[3] ? { prefix: match[2]! } : undefined
}
