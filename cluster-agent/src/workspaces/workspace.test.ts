// What the scripts do in a real sh.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Assignment } from '@rdev/shared/domain/attempt'
import { quote } from '../sh.ts'
import { assignment } from '../testing/setup.ts'
import { invalidWorkspace, prelude, workspaceFailure, workspaceNeeds } from './workspace.ts'

let home: string
beforeAll(async () => {
  home = await mkdtemp(`${tmpdir()}/rdev home's `)
  await mkdir(`${home}/workspace/in side`, { recursive: true })
  await symlink('/', `${home}/workspace/root`)
  await symlink(`${home}/workspace/in side`, `${home}/workspace/link`)
})
afterAll(() => rm(home, { recursive: true }))

async function run(role: 'project' | 'worker', more: Partial<Assignment>, script: string) {
  const text = prelude({ role }, { ...assignment(more), token: '' }) + script
  const { code, stdout, stderr } = await promisify(execFile)('sh', ['-c', text], { env: { HOME: home, CDPATH: '/' } }).then(
    (done) => ({ code: 0, ...done }),
    (failed: { code: number; stdout: string; stderr: string }) => failed,
  )
  return { code, stdout, stderr }
}

test('any text survives quoting, in words and in variables', async () => {
  const awkward = [``, `a b`, `it's`, `"$HOME"`, '`id`', `$(id)`, `\\`, `-n`, `*`, `line\nline\n`, `;&|<>()`, `é€😀`, `'\\''`, `!x`, `~`]
  for (const value of awkward) {
    const { stdout } = await run('project', { env: { VALUE: value } }, `printf '%s|' "$VALUE" ${quote(value)}`)
    expect(stdout).toBe(`${value}|${value}|`)
  }
})

test('the working directory must be inside of the workspace, also through a link', async () => {
  expect(await run('project', {}, 'pwd')).toMatchObject({ stdout: `${home}/workspace\n` })
  expect(await run('project', { working_dir: 'in side' }, 'pwd')).toMatchObject({ stdout: `${home}/workspace/in side\n`, stderr: '' })
  expect(await run('project', { working_dir: 'link' }, 'pwd')).toMatchObject({ stdout: `${home}/workspace/in side\n` })
})

test.each(['missing', 'root', 'root/tmp'])('%s is refused before anything runs', async (working_dir) => {
  expect(await run('project', { working_dir }, 'echo ran')).toMatchObject({ code: 78, stdout: '', stderr: workspaceFailure })
})

test('a worker makes the directory of a workspace', async () => {
  const { stdout } = await run('worker', { session_id: 'ses_x' }, 'pwd')
  expect(stdout).toBe(`${home}/workspaces/ses_x\n`)
})

test('a named working copy is made for its first task; main is the directory that exists already', async () => {
  expect(await run('project', { workspace: 'main' }, 'pwd')).toMatchObject({ stdout: `${home}/workspace\n` })
  expect(await run('project', { workspace: 'fix-1.x' }, 'pwd')).toMatchObject({ stdout: `${home}/workspaces/fix-1.x\n` })
  expect(await run('project', { workspace: 'fix-1.x', working_dir: 'sub' }, 'pwd')).toMatchObject({ code: 78 })
  // A worker serves all projects: two projects may use the same name for different working copies.
  expect(await run('worker', { workspace: 'main', project_id: 'shop' }, 'pwd')).toMatchObject({ stdout: `${home}/workspaces/shop.main\n` })
})

test('a task that names a working copy needs its lock; no other task does', () => {
  const lock = (role: 'project' | 'worker', workspace: string | null) =>
    workspaceNeeds({ role }, { project_id: 'shop', session_id: 'ses_x', task_id: 'task_x', workspace }).lock
  expect([lock('project', 'main'), lock('project', 'other'), lock('project', null)]).toEqual(['main', 'other', undefined])
  expect([lock('worker', 'main'), lock('worker', 'other'), lock('worker', null)]).toEqual(['shop.main', 'shop.other', undefined])
})

test('an assignment that cannot run is refused before its start', () => {
  const fine = { env: {}, working_dir: null, workspace: null }
  expect(invalidWorkspace({ env: { A_1: 'x' }, working_dir: 'a/b', workspace: 'main' })).toBeUndefined()
  for (const working_dir of ['/etc', '..', 'a/../../b', 'a\0b']) expect(invalidWorkspace({ ...fine, working_dir })).toMatch('working_dir')
  for (const workspace of ['', '.', '..', 'a/b', '-x', 'A', 'a b', "a'b", 'a\n', 'x'.repeat(64)]) {
    expect(invalidWorkspace({ ...fine, workspace })).toMatch('workspace')
  }
  const wrong: Record<string, string>[] = [{ 'A B': 'x' }, { '1A': 'x' }, { RDEV_ATTEMPT: 'x' }, { A: 'a\0b' }]
  for (const env of wrong) {
    expect(invalidWorkspace({ ...fine, env })).toMatch('env')
  }
})
