import { expect, test } from 'vitest'
import { failureOfSqlstate } from './sqlstate.ts'

test.each([
  [undefined, 'away', 'no answer'],
  ['08006', 'away', 'connection failure'],
  ['53300', 'away', 'too many connections'],
  ['57014', 'away', 'statement timeout'],
  ['57P01', 'away', 'shutdown'],
  ['40001', 'away', 'serialisation failure'],
  ['40P01', 'away', 'deadlock'],
  ['55P03', 'away', 'lock not available'],
  ['28P01', 'away', 'the password is being rotated'],
  ['22P05', 'data', 'a NUL in a text'],
  ['22021', 'data', 'not UTF-8'],
  ['22008', 'data', 'an instant out of range'],
  ['22003', 'data', 'a number out of range'],
  ['23514', 'data', 'a CHECK'],
  ['54000', 'data', 'too large for an index'],
  ['42P01', 'statement', 'a table of a later migration'],
  ['0A000', 'statement', 'not supported'],
] as const)('%s is %s: %s', (code, failure, _words) => {
  expect(failureOfSqlstate(code)).toBe(failure)
})
