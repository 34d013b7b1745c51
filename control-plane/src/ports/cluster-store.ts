export interface ClusterStore {
  list(): Promise<readonly { id: string }[]>
}
