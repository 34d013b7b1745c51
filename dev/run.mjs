// What `npm start` and `npm test` run first, on Node 20 and newer, before anything is installed. It installs what package-lock.json names if
// that is missing, then goes on with the pinned Node of node_modules.
//   node dev/run.mjs FILE [ARG…]                run a file
//   node dev/run.mjs --vitest PROJECT…          run test projects
//   node dev/run.mjs --with-bench FILE [ARG…]   run a file that needs the bench's dependencies too
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const modules = join(root, 'node_modules')
const stamp = join(modules, '.rdev-installed')

const words = process.argv.slice(2)
const withBench = words[0] === '--with-bench'
if (withBench) words.shift()

const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
// The package files count too, because npm follows them where the lock file is not up to date.
const hash = createHash('sha256')
for (const file of ['package-lock.json', 'package.json', ...workspaces.map((room) => join(room, 'package.json'))])
  hash.update(readFileSync(join(root, file))).update('\0')
const wanted = hash.digest('hex')

/** From which files the last installation was made, and whether it has the bench's dependencies. */
function installed() {
  try {
    const [made, bench] = readFileSync(stamp, 'utf8').trim().split(' ')
    return { current: made === wanted && existsSync(join(modules, '.bin', 'node')), bench: bench === 'bench' }
  } catch {
    return { current: false, bench: false }
  }
}

const before = installed()
if (!before.current || (withBench && !before.bench)) {
  // Only the bench needs the other queues that it compares with, so they are installed only for it.
  const bench = withBench || before.bench
  const rooms = bench ? [] : ['--include-workspace-root', ...workspaces.filter((room) => room !== 'bench').flatMap((room) => ['-w', room])]
  console.log('Installing what package-lock.json pins (a minute or two, once) …')
  // The pinned Node is one of the packages, so warnings about the version of this Node are switched off.
  // `npm ci` would fail: the lock file pins every version, but has the native binaries of only some platforms.
  const npm = spawnSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error', ...rooms], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  if (npm.status !== 0) {
    console.error('npm install failed; see above. Nothing was started.')
    process.exit(npm.status ?? 1)
  }
  // Write another file and rename it: node_modules may be a copy by hard links, and the other copy must keep its own stamp.
  writeFileSync(`${stamp}.new`, `${wanted}${bench ? ' bench' : ''}\n`)
  renameSync(`${stamp}.new`, stamp)
}

const [first, ...rest] = words
const args =
  first === '--vitest'
    ? [
        join(modules, 'vitest', 'vitest.mjs'),
        'run',
        '--config',
        'vitest.workspace.ts',
        ...rest.flatMap((word) => (word.startsWith('-') ? [word] : ['--project', word])),
      ]
    : [first, ...rest]

const child = spawn(join(modules, '.bin', 'node'), args, {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, PATH: join(modules, '.bin') + delimiter + process.env.PATH, NODE_NO_WARNINGS: '1' },
})
// A terminal sends Ctrl-C to the whole group, so the child stops by itself, and this process waits for it.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
process.on('SIGHUP', () => child.kill('SIGHUP'))
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
