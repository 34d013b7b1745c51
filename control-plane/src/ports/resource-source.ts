import type { DesiredResources } from '@rdev/shared/domain/resource'

/** What each cluster should have beside running attempts. */
export interface ResourceSource {
  /** The whole set, and its version, which goes up with every change. Asked by the cluster's hub at every `hello` and when it is told of a change. */
  desired(clusterId: string): Promise<DesiredResources>
}
