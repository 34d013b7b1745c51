// The port behind the proxy: a database that runs SQL with text in and text out. PGlite and a PostgreSQL server are its two sides, with one suite.

export interface Statement {
  readonly sql: string
  /** Text or null: the server infers the types, as it does for Neon. */
  readonly params: readonly (string | null)[]
}

export interface Field {
  readonly name: string
  readonly dataTypeID: number
  readonly tableID: number
  readonly columnID: number
  readonly dataTypeSize: number
  readonly dataTypeModifier: number
  readonly format: 'text'
}

export interface SqlResult {
  readonly fields: readonly Field[]
  readonly command: string
  readonly rowCount: number | null
  readonly rows: readonly (readonly (string | null)[])[]
}

export interface TransactionOptions {
  readonly isolation?: 'READ UNCOMMITTED' | 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE' | undefined
  readonly readOnly?: boolean | undefined
  readonly deferrable?: boolean | undefined
}

export interface SqlBackend {
  /** Runs one statement, which is committed when this resolves. Throws SqlError if the server refuses it, another error if there is no server. */
  query(statement: Statement): Promise<SqlResult>
  /** Runs all statements in order, in one transaction. Throws as `query` does. */
  transaction(statements: readonly Statement[], options: TransactionOptions): Promise<readonly SqlResult[]>
  close(): Promise<void>
}

/** The fields of a server's error that the protocol hands on, besides its message. */
export const errorFields = [
  'severity',
  'code',
  'detail',
  'hint',
  'position',
  'internalPosition',
  'internalQuery',
  'where',
  'schema',
  'table',
  'column',
  'dataType',
  'constraint',
  'file',
  'line',
  'routine',
] as const
export type ErrorFields = Readonly<Partial<Record<(typeof errorFields)[number], string>>>

export class SqlError extends Error {
  readonly fields: ErrorFields
  constructor(message: string, source: ErrorFields) {
    super(message)
    this.name = 'SqlError'
    this.fields = Object.fromEntries(errorFields.flatMap((name) => (source[name] === undefined ? [] : [[name, source[name]]])))
  }
}

export function begin({ isolation, readOnly, deferrable }: TransactionOptions): string {
  const modes = [
    ...(isolation ? [`ISOLATION LEVEL ${isolation}`] : []),
    ...(readOnly === undefined ? [] : [readOnly ? 'READ ONLY' : 'READ WRITE']),
    ...(deferrable === undefined ? [] : [deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE']),
  ]
  return `BEGIN ${modes.join(', ')}`
}

/** `INSERT 0 1` → INSERT, 1; `CREATE TABLE` → CREATE, null; the same as pg, and so as Neon. */
export function parseCommandTag(tag: string): { command: string; rowCount: number | null } {
  const match = /^([A-Za-z]+)(?: (\d+))?(?: (\d+))?/.exec(tag)
  const count = match?.[3] ?? match?.[2]
  return { command: match?.[1] ?? '', rowCount: count === undefined ? null : Number(count) }
}
