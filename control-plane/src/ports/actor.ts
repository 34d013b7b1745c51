import type { Caller } from '@rdev/shared/domain/api-key'

/** The projects that a caller may see; null: all. Every read by id takes it: an object of another project is answered as missing. */
export type ProjectFilter = readonly string[] | null

/**
 * Who makes a change. Store writes that different callers can ask for take an actor: they change nothing outside its `project_ids`, and the
 * same statement can record who did it. Made once per request, or by a part of the control plane that acts by itself.
 */
export type Actor = KeyActor | SystemActor

/** An API key, in one request. */
export interface KeyActor extends Pick<Caller, 'key_id' | 'project_ids'> {
  readonly request_id: string
}

/** A part of the control plane that acts by itself, without an API key. It may see every project. */
export interface SystemActor {
  readonly system: 'cluster-hub' | 'task-log'
  readonly key_id: null
  readonly project_ids: null
  readonly request_id: null
}

export const systemActor = (system: SystemActor['system']): SystemActor => ({ system, key_id: null, project_ids: null, request_id: null })
