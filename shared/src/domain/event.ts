// A task's log is numbered entries, 1…n. Stored types have a seq. Transient types have none and are never sent again.

export const storedEventTypes = [
  'task.queued',
  'task.leased',
  'task.started',
  'task.requeued',
  'task.finished',
  'agent.started',
  'message.user',
  'message.assistant',
  'message.thinking',
  'tool.started',
  'tool.finished',
  'output',
  'usage',
  'workspace.prepared',
  'git.committed',
  'git.pushed',
  'pr.opened',
  'approval.requested',
  'approval.resolved',
  'limit.reached',
  'error',
  'provider.raw',
] as const
export type StoredEventType = (typeof storedEventTypes)[number]

/** Only the log writes these; an attempt that sends one is malformed. */
const ownTypes: ReadonlySet<StoredEventType> = new Set(['task.queued', 'task.leased', 'task.requeued', 'task.finished'])
export const isOwnType = (type: StoredEventType): boolean => ownTypes.has(type)

export const transientEventTypes = ['message.delta', 'stream.start', 'stream.gap', 'stream.end'] as const
export type TransientEventType = (typeof transientEventTypes)[number]

export type EventData = Readonly<Record<string, unknown>>

/** An event as an attempt reports it, before the log numbers it. `time` is RFC 3339 with milliseconds, by the agent's clock. */
export interface AttemptEvent {
  readonly type: StoredEventType
  readonly time: string
  readonly data: EventData
}

/** An event as clients read it. `attempt` is 0 for events before the first lease. */
export interface TaskEvent {
  readonly seq: number
  readonly type: StoredEventType
  readonly time: string
  readonly task_id: string
  readonly attempt: number
  readonly data: EventData
}

/** A tool that was asked for and not allowed, and how often. */
export interface DeniedTool {
  readonly name: string
  readonly count: number
}

/** Tokens of one attempt, summed over its turns. */
export interface Usage {
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cache_read_tokens: number
  readonly cache_write_tokens: number
}

export const noUsage: Usage = { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 }

export const addUsage = (a: Usage, b: Usage): Usage => ({
  input_tokens: a.input_tokens + b.input_tokens,
  output_tokens: a.output_tokens + b.output_tokens,
  cache_read_tokens: a.cache_read_tokens + b.cache_read_tokens,
  cache_write_tokens: a.cache_write_tokens + b.cache_write_tokens,
})
