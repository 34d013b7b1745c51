// What a SQLSTATE says about asking again, in one place (PostgreSQL manual, appendix A). A code that is not listed is taken for a statement that
// is wrong: that is a bug of ours, and asking without end would hide it.

import type { Failure } from '@rdev/shared/domain/failure'

/** About the server and not about the statement: connection, resources, shutdown, timeouts, serialisation failures, authentication. */
const away = /^(08|53|57|58|40|55P03|25P03|28)/
/** About the values: what no column can hold (22, also NUL in a text, 22P05), what a constraint refuses (23), what is too large (54). */
const data = /^(22|23|54)/

/** `code` undefined: the server did not answer, or something in between answered. */
export function failureOfSqlstate(code: string | undefined): Failure {
  if (!code || away.test(code)) return 'away'
  return data.test(code) ? 'data' : 'statement'
}
