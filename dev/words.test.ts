import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repository } from './bundle.ts'
import { type RetiredWord, retiredWords } from './retired-words.ts'

const rooms = ['shared', 'control-plane', 'cluster-agent', 'simulation', 'dev', 'e2e', 'bench', 'images', 'kustomize', '.ci']
const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: repository, encoding: 'utf8' })
  .split('\n')
  .filter(Boolean)
/** Recordings are the words of others, and these two files must name the retired words. */
const isCode = (file: string) =>
  rooms.includes(file.split('/', 1)[0]!) &&
  /\.(ts|mjs|sh|yaml)$|Dockerfile$|\.ci\/run$/.test(file) &&
  !/\/fixtures\/|^dev\/(retired-words|words\.test)\.ts$/.test(file)
/** Decisions and the changelog tell how it was, in the words of then. */
const isPage = (file: string) => file.endsWith('.md') && !/^(docs\/decisions\/|CHANGELOG\.md$)/.test(file)

/** `isLogLine` and `log_line` are the words "log line" too. */
const asWords = (text: string) =>
  text
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase()

/** The lines of each file as words, read once for all retired words. */
const texts = listed
  .filter((file) => isCode(file) || isPage(file))
  .map((file) => ({ file, lines: readFileSync(join(repository, file), 'utf8').split('\n').map(asWords) }))

function find({ words, say, except = [], exceptIn = [] }: RetiredWord): string[] {
  const word = new RegExp(`\\b(${words.join('|')})\\b`)
  return texts
    .filter(({ file }) => !exceptIn.some((beginning) => file.startsWith(beginning)))
    .flatMap(({ file, lines }) =>
      lines.flatMap((line, index) => {
        const found = word.exec(except.reduce((rest, phrase) => rest.replaceAll(phrase, ''), line))
        return found ? [`${file}:${index + 1}: "${found[0]}"; say: ${say}`] : []
      }),
    )
}

test.each(retiredWords)('nothing says $words any more', (retired) => {
  expect(find(retired)).toEqual([])
})
