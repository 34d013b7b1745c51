import type { Caller } from '@rdev/shared/domain/api-key'

/** The projects a caller may see; null: all. Every read by id takes it, so that another tenant's object is simply not there. */
export type ProjectFilter = readonly string[] | null

/**
 * Who changes something. Every write of the stores that several can ask for takes one: it changes nothing outside `project_ids`, and the
 * statement that changes can also write who it was. Made once per request, or by the part of the control plane that acts by itself.
 */
export type Actor = KeyActor | SystemActor

/** An API key, in one request. */
export interface KeyActor extends Pick<Caller, 'key_id' | 'project_ids'> {
  readonly request_id: string
}

/** A part of the control plane. No key is behind what it does, and nothing is hidden from it. */
export interface SystemActor {
  readonly system: 'cluster-hub' | 'task-log'
  readonly key_id: null
  readonly project_ids: null
  readonly request_id: null
}

export const systemActor = (system: SystemActor['system']): SystemActor => ({ system, key_id: null, project_ids: null, request_id: null })
