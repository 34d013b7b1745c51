// The door of `npm start` and `npm test`: runs on Node 20 and newer without anything installed. It installs what package-lock.json
// names when that is not there yet, then goes on with the pinned Node of node_modules.
//   node dev/run.mjs FILE [ARG…]             run a file
//   node dev/run.mjs --vitest PROJECT…       run test projects
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const modules = join(root, 'node_modules')
const stamp = join(modules, '.rdev-installed')
const wanted = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex')

function installed() {
  try {
    return readFileSync(stamp, 'utf8') === wanted && existsSync(join(modules, '.bin', 'node'))
  } catch {
    return false
  }
}

if (!installed()) {
  console.log('Installing what package-lock.json pins (a minute or two, once) …')
  // The pinned Node is among what is being installed, so engine warnings about this Node would only confuse.
  // Not `npm ci`: the lock file pins every version, but lists the native binaries of some platforms only, and `ci` would insist on all.
  const npm = spawnSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  if (npm.status !== 0) {
    console.error('npm install failed; see above. Nothing was started.')
    process.exit(npm.status ?? 1)
  }
  writeFileSync(stamp, wanted)
}

const [first, ...rest] = process.argv.slice(2)
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
// A terminal sends Ctrl-C to the whole group: the child stops by itself, and this process waits for it.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
process.on('SIGHUP', () => child.kill('SIGHUP'))
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
