import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repository } from './bundle.ts'
import { type RetiredWord, retiredWords, wordsOnTheirWayOut } from './retired-words.ts'

const rooms = ['shared', 'control-plane', 'cluster-agent', 'simulation', 'dev', 'e2e', 'bench']
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...rooms], {
  cwd: repository,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => /\.(ts|mjs|sh)$/.test(file) && !/\/fixtures\/|^dev\/(retired-words|words\.test)\.ts$/.test(file))

/** `isLogLine` and `log_line` are the words "log line" too. */
const asWords = (text: string) =>
  text
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase()

function find({ words, say, except = [], exceptIn = [] }: RetiredWord): string[] {
  const word = new RegExp(`\\b(${words.join('|')})\\b`)
  return files
    .filter((file) => !exceptIn.some((beginning) => file.startsWith(beginning)))
    .flatMap((file) =>
      readFileSync(join(repository, file), 'utf8')
        .split('\n')
        .flatMap((line, index) => {
          const text = except.reduce((rest, phrase) => rest.replaceAll(phrase, ''), asWords(line))
          const found = word.exec(text)
          return found ? [`${file}:${index + 1}: "${found[0]}"; say: ${say}`] : []
        }),
    )
}

// RDEV_ALL_WORDS=1 tells where those on their way out still stand.
test.each(process.env.RDEV_ALL_WORDS ? [...retiredWords, ...wordsOnTheirWayOut] : retiredWords)(
  'nothing says $words any more',
  (retired) => {
    expect(find(retired)).toEqual([])
  },
)
