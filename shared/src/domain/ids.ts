// Ids are a prefix and a ULID (github.com/ulid/spec) in lower case (Crockford base 32: 48 bits of milliseconds, 80 random bits), so they sort
// by time and name their kind. The caller provides the time and the random bytes.

export const idPrefixes = { task: 'task', session: 'ses', key: 'key', request: 'req', claim: 'claim', connection: 'conn' } as const
export type IdKind = keyof typeof idPrefixes

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** `random` is 10 bytes; `now` is milliseconds since the epoch. Throws RangeError for fewer bytes. */
export function newId(kind: IdKind, now: number, random: Uint8Array): string {
  if (random.length < 10) throw new RangeError('newId needs 10 random bytes')
  let time = ''
  for (let rest = now, i = 0; i < 10; i++) {
    time = alphabet[rest % 32] + time
    rest = Math.floor(rest / 32)
  }
  let chance = ''
  for (let i = 0, bits = 0, value = 0; i < 10; i++) {
    value = (value << 8) | random[i]!
    bits += 8
    while (bits >= 5) {
      bits -= 5
      chance += alphabet[(value >>> bits) & 31]
    }
    value &= (1 << bits) - 1
  }
  return `${idPrefixes[kind]}_${time}${chance}`
}

export const idPattern = (kind: IdKind): RegExp => new RegExp(`^${idPrefixes[kind]}_[0-9a-hjkmnp-tv-z]{26}$`)

/** The name of an attempt everywhere: its directory in a pod, its `RDEV_ATTEMPT` tag, its field in logs. */
export const attemptName = (taskId: string, attempt: number): string => `${taskId}.${attempt}`

/** The opposite of `attemptName`. Undefined for any other text, because pods may hold directories that others made. */
export function parseAttemptName(name: string): { task_id: string; attempt: number } | undefined {
  const match = /^(task_[0-9a-hjkmnp-tv-z]{26})\.([1-9]\d{0,5})$/.exec(name)
  return match ? { task_id: match[1]!, attempt: Number(match[2]) } : undefined
}
