import type { Pod } from '@rdev/shared/domain/pod'

/** A pod for attempts of tests that never look into it. */
export const aPod: Pod = {
  name: 'pod',
  uid: 'uid',
  role: 'worker',
  project_id: null,
  ready: true,
  slots: 1,
  providers: [],
  allow_bypass_permissions: false,
}
