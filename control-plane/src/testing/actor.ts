import type { KeyActor } from '../ports/actor.ts'

export const anActor = (change: Partial<KeyActor> = {}): KeyActor => ({
  key_id: 'key_tests',
  project_ids: null,
  request_id: 'req_tests',
  ...change,
})
