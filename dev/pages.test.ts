// The rules of the Markdown pages: one sentence a line, so that a change of one sentence is a diff of one line; and no page names a file
// that does not exist.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { repository } from './bundle.ts'

interface Line {
  readonly number: number
  readonly text: string
}

/** Also files that are not committed yet. */
const known = ['--cached', '--others', '--exclude-standard']
const pages = execFileSync('git', ['ls-files', ...known, '*.md'], { cwd: repository, encoding: 'utf8' })
  .trim()
  .split('\n')
/** Decisions are not edited after they were made. */
const edited = pages.filter((page) => !page.startsWith('docs/decisions/'))

/** The lines of a page outside of code blocks. */
function prose(page: string): Line[] {
  let fenced = false
  return readFileSync(join(repository, page), 'utf8')
    .split('\n')
    .map((text, index) => ({ number: index + 1, text }))
    .filter(({ text }) => {
      const fence = /^\s*(```|~~~)/.test(text)
      if (fence) fenced = !fenced
      return !fence && !fenced
    })
}

const isParagraph = (text: string) => text.trim() !== '' && !/^\s*(#|\||>|---)/.test(text)
const startsItem = (text: string) => /^\s*([-*+]|\d+\.) /.test(text)
/** Without the number of a list item, code spans, and a bold lead-in, which stays with its first sentence. */
const words = (text: string) =>
  text
    .replace(/^\s*([-*+]|\d+\.) +/, '')
    .replaceAll(/`[^`]*`/g, 'X')
    .replace(/^\*\*[^*]+\*\* /, '')
/** Also the initials of a name. */
const abbreviation = /\b(e\.g|i\.e|vs|etc|[A-Z])\. /g
const endsSentence = (text: string) => /[.!?:;…][)\]"'*_]*$/.test(text.trimEnd())

test('a line of a page holds one sentence', () => {
  const found = edited.flatMap((page) =>
    prose(page)
      .filter(({ text }) => isParagraph(text) && /[.!?][)\]"'*_]* +[A-Z*[("]/.test(words(text).replaceAll(abbreviation, '')))
      .map(({ number }) => `${page}:${number}`),
  )
  expect(found).toEqual([])
})

test('a sentence of a page stands on one line', () => {
  const found = edited.flatMap((page) => {
    const lines = prose(page)
    return lines
      .filter(({ number, text }, index) => {
        const next = lines[index + 1]
        if (!next || next.number !== number + 1 || !isParagraph(text) || !isParagraph(next.text)) return false
        return !startsItem(next.text) && !endsSentence(text)
      })
      .map(({ number }) => `${page}:${number}`)
  })
  expect(found).toEqual([])
})

test('the links of a page lead to files that exist', () => {
  const found = pages.flatMap((page) =>
    prose(page).flatMap(({ number, text }) =>
      [...text.matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)]
        .map((match) => match[1] ?? '')
        .filter((target) => !target.includes('://') && !existsSync(join(repository, dirname(page), target)))
        .map((target) => `${page}:${number}: ${target}`),
    ),
  )
  expect(found).toEqual([])
})

test('a page names only files that exist', () => {
  const rooms = new Set(execFileSync('git', ['ls-files', ...known], { cwd: repository, encoding: 'utf8' }).match(/^[\w.-]+(?=\/)/gm))
  const found = edited.flatMap((page) =>
    prose(page).flatMap(({ number, text }) =>
      [...text.matchAll(/`([\w.-]+\/[\w./-]+)`/g)]
        .map((match) => match[1] ?? '')
        .filter((path) => rooms.has(path.slice(0, path.indexOf('/'))) && !existsSync(join(repository, path)))
        .map((path) => `${page}:${number}: ${path}`),
    ),
  )
  expect(found).toEqual([])
})

test('the glossary has each word once', () => {
  const found = [...readFileSync(join(repository, 'docs/glossary.md'), 'utf8').matchAll(/\*\*([^*]+)\*\*/g)].map((match) => match[1])
  expect(found.filter((word, index) => found.indexOf(word) !== index)).toEqual([])
})
