export interface Page<Item> {
  readonly data: readonly Item[]
  readonly next_cursor: string | null
}

export interface PageRequest {
  readonly cursor?: string | undefined
  readonly limit: number
}
