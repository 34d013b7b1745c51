import type { DesiredResources } from '@rdev/shared/domain/resource'

/** What each cluster should have beside running attempts. */
export interface ResourceSource {
  /** The whole set with its version, which rises with every change. The cluster's hub asks at every `hello` and after every change. */
  desired(clusterId: string): Promise<DesiredResources>
}
