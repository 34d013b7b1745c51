import type { Pod } from '@rdev/shared/domain/pod'
import { isProjectId, type ProjectChange } from '@rdev/shared/domain/project'

export interface ProjectPod {
  readonly id: string
  readonly pod: string
  readonly allow_bypass_permissions: boolean
}

/** One pod for each project: a ready one, else the first by name, so that the same report always has the same result. */
export function projectPods(pods: readonly Pod[]): ProjectPod[] {
  const homes = new Map<string, Pod>()
  const inOrder = [...pods].sort((a, b) => Number(b.ready) - Number(a.ready) || (a.name < b.name ? -1 : 1))
  for (const pod of inOrder) {
    if (pod.role === 'project' && isProjectId(pod.project_id) && !homes.has(pod.project_id)) homes.set(pod.project_id, pod)
  }
  return [...homes].map(([id, pod]) => ({ id, pod: pod.name, allow_bypass_permissions: pod.allow_bypass_permissions }))
}

/** The fields that a change may set; other fields of the object are dropped. */
export function given({ max_running, weight, max_queued, paused, allow_pool }: ProjectChange): ProjectChange {
  return {
    ...(max_running !== undefined && { max_running }),
    ...(weight !== undefined && { weight }),
    ...(max_queued !== undefined && { max_queued }),
    ...(paused !== undefined && { paused }),
    ...(allow_pool !== undefined && { allow_pool }),
  }
}
