export interface Log {
  (level: 'info' | 'warn' | 'error', phrase: string, fields?: Readonly<Record<string, unknown>>): void
}
