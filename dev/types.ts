// `npm run types`: checks every room by its own tsconfig, which names only the types of its platform; then checks that no file was left out.
import { execFileSync, spawnSync } from 'node:child_process'
import { dirname, relative, resolve } from 'node:path'
import { repository } from './bundle.ts'

const tracked = (pattern: string) =>
  execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', pattern], { cwd: repository, encoding: 'utf8' })
    .split('\n')
    .filter((path) => path !== '')

const configs = tracked('*tsconfig.json')
const checked = new Set<string>()
let failed = false

/** The nearest tsconfig.json above a file, which names the types of the file's platform. */
function owner(file: string): string {
  const folder = dirname(file)
  const config = folder === '.' ? 'tsconfig.json' : `${folder}/tsconfig.json`
  return folder === '.' || configs.includes(config) ? config : owner(folder)
}

for (const config of configs) {
  // --listFiles names on its own lines what the compiler read; every other line is an error.
  const { stdout, stderr, status } = spawnSync('tsc', ['-p', config, '--listFiles', '--pretty', 'false'], {
    cwd: repository,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  const lines = `${stdout ?? ''}${stderr ?? ''}`.split('\n')
  const files = lines.filter((line) => /^(\/|[A-Za-z]:[\\/]).*\.(ts|json|mts|cts)$/.test(line))
  const room = dirname(config)
  for (const path of files) {
    const file = relative(repository, resolve(path))
    if (owner(file) === config) checked.add(file)
  }
  if (status === 0) continue
  failed = true
  console.error(`${room === '.' ? 'root' : room} (tsc -p ${config}):`)
  console.error(lines.filter((line) => line !== '' && !files.includes(line)).join('\n'))
}

const left = tracked('*.ts').filter((file) => !checked.has(file))
if (left.length > 0) {
  failed = true
  console.error(`Their own tsconfig.json does not include:\n${left.join('\n')}`)
}

process.exit(failed ? 1 : 0)
