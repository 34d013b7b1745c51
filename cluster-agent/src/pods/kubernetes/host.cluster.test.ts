// The kubernetes host against a real API server, kubelet and containerd. The contract suite has what every host promises; here is what only this
// one could do wrong.

import { request } from 'node:http'
import type { Socket } from 'node:net'
import type { Pod } from '@rdev/shared/domain/pod'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startComponent, stopComponent } from '../../../../e2e/cluster/faults.ts'
import { createClusterPods, type ClusterPods } from '../../../../e2e/cluster/pods.ts'
import { apiProxy } from '../../../../e2e/cluster/proxy.ts'
import type { PodHost, Shell } from '../../ports.ts'
import { createKubernetesHost, type KubernetesHostOptions } from './host.ts'
import { block } from '../library.ts'

const namespace = 'rdev-test-host'
let pods: ClusterPods
beforeAll(async () => {
  pods = await createClusterPods({ namespace })
})
afterAll(async () => await pods?.remove())

interface Bundle extends AsyncDisposable {
  readonly host: PodHost
  readonly logged: string[]
  /** A shell that runs this script. */
  run(script: string): Promise<Shell>
}

function setup(options: Partial<KubernetesHostOptions> = {}): Bundle {
  const logged: string[] = []
  const log = (level: string, phrase: string, fields?: object): void => {
    logged.push(`${level} ${phrase} ${JSON.stringify(fields)}`)
  }
  const host = createKubernetesHost({ namespace, log, kubeConfig: pods.agentKubeConfig, ...options })
  return {
    host,
    logged,
    async run(script) {
      const shell = await host.shell('demo')
      // Without `exit` the shell would wait for its next block.
      shell.stdin.write(block(`${script}\nexit`))
      return shell
    },
    [Symbol.asyncDispose]: async () => await host.close(),
  }
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  let text = ''
  for await (const part of stream) text += String(part)
  return text
}

/** Resolves with the first answer that satisfies `wanted`; the test's own time limit is the bound. */
async function eventually<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (wanted(answer)) return answer
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe('shell', () => {
  test('carries three streams, and the end of stdin without losing output after it', async () => {
    await using bundle = setup()
    const shell = await bundle.run('echo warned >&2; cat | tr a-z A-Z; sleep 0.2; echo last')
    shell.stdin.end('hello\n')
    const [out, err] = await Promise.all([textOf(shell.stdout), textOf(shell.stderr)])
    await shell.closed
    expect([out, err]).toEqual(['HELLO\nlast\n', 'warned\n'])
    expect(bundle.logged).toEqual([])
  })

  test('takes megabytes of stdin byte for byte', async () => {
    await using bundle = setup()
    const shell = await bundle.run('head -c 5000000 | cksum')
    const bytes = Buffer.from(Array.from({ length: 5_000_000 }, (_, index) => (index * 31) % 251))
    shell.stdin.end(bytes)
    shell.stderr.resume()
    const sum = await textOf(shell.stdout)
    expect(sum).toMatch(/ 5000000$/m)
  })

  test('an unread shell stops the process in the pod, and loses nothing of it', async () => {
    await using bundle = setup()
    const total = 300_000_000
    // The process stays after its last byte: Kubernetes may lose the end of the output of a process that exits (`kubectl exec … | wc -c` shows it).
    const shell = await bundle.run(`yes unread | head -c ${total}; cat >/dev/null`)
    shell.stderr.resume()
    await new Promise((resolve) => shell.stdout.once('readable', resolve))
    const before = process.memoryUsage().rss

    // Stopped means: the writer wrote nothing between two looks.
    const written = async (): Promise<number> => {
      const { stdout } = await pods.run('demo', `cat /proc/$(pgrep -xn head)/io`)
      return Number(/^wchar: (\d+)$/m.exec(stdout)?.[1])
    }
    let last = -1
    const stopped = await eventually(written, (now) => {
      const same = now === last
      last = now
      return same
    })
    expect(stopped).toBeLessThan(50_000_000)
    expect(process.memoryUsage().rss - before).toBeLessThan(50_000_000)

    let read = 0
    for await (const part of shell.stdout) {
      read += (part as Buffer).length
      if (read >= total) break
    }
    expect(read).toBe(total)
  })

  test('a cut gives the script the end of its stdin', async () => {
    await using bundle = setup()
    const shell = await bundle.run('rm -f ~/cut; echo ready; cat >/dev/null; echo seen > ~/cut')
    await new Promise((resolve) => shell.stdout.once('data', resolve))
    shell.destroy()
    await shell.closed
    const { stdout } = await eventually(
      async () => await pods.run('demo', 'cat ~/cut'),
      ({ exitCode }) => exitCode === 0,
    )
    expect(stdout).toBe('seen\n')
  })

  test('a shell of a pod that does not exist is refused with the reason', async () => {
    await using bundle = setup()
    await expect(bundle.host.shell('nobody')).rejects.toThrow('404: pods "nobody" not found')
  })

  test('a container that does not exist is logged and does not crash the program', async () => {
    await using bundle = setup({ container: 'nobody' })
    await expect(bundle.host.shell('demo')).rejects.toThrow('container nobody is not valid for pod demo')
  })

  test('writing to a shell that is gone does nothing', async () => {
    await using bundle = setup()
    const shell = await bundle.run('exit 3')
    shell.stdout.resume()
    shell.stderr.resume()
    await shell.closed
    shell.stdin.write('more')
    shell.stdin.end()
    expect(bundle.logged).toEqual([])
  })

  test('the work of a shell is not in its command line', async () => {
    await using bundle = setup()
    const shell = await bundle.run('secret=hunter2; echo ready; cat >/dev/null')
    await new Promise((resolve) => shell.stdout.once('data', resolve))
    const running = (await pods.processes('demo')).map(({ command }) => command).join('\n')
    expect(running).toContain('sh -c')
    expect(running).not.toContain('hunter2')
  })

  test('a connection that turned half-open is found by pings and cut', async () => {
    await using proxy = await apiProxy(pods.agentKubeConfig)
    await using bundle = setup({ kubeConfig: proxy.kubeConfig, timing: { pingEveryMs: 200, pongTimeoutMs: 300 } })
    const shell = await bundle.run('echo ready; cat')
    await new Promise((resolve) => shell.stdout.once('data', resolve))
    proxy.goSilent()
    await shell.closed
  })
})

describe('connect', () => {
  test('a port where nothing listens is refused', async () => {
    await using bundle = setup()
    await expect(bundle.host.connect('demo', 4)).rejects.toThrow('nothing listens on port 4')
  })

  test('HTTP requests pass, with megabytes both ways and a slow reader', async () => {
    await using bundle = setup()
    const server = await bundle.run(
      `exec node -e 'require("http").createServer((q,s)=>q.pipe(s)).listen(5601,"127.0.0.1",()=>console.log("up"))'`,
    )
    await new Promise((resolve) => server.stdout.once('data', resolve))
    const body = Buffer.alloc(8_000_000, 'abcdefg\n')
    const socket = await bundle.host.connect('demo', 5601)
    const echoed = await new Promise<Buffer>((resolve, reject) => {
      const call = request({ method: 'POST', host: 'pod', createConnection: () => socket as Socket }, (response) => {
        const parts: Buffer[] = []
        const read = async (): Promise<void> => {
          for await (const part of response) {
            parts.push(part as Buffer)
            if (parts.length % 50 === 0) await new Promise((next) => setTimeout(next, 10))
          }
          resolve(Buffer.concat(parts))
        }
        read().catch(reject)
      })
      call.on('error', reject)
      call.end(body)
    })
    expect(echoed.equals(body)).toBe(true)
    await pods.run('demo', 'pkill -x node')
  })

  test('when the server ends the connection, the stream ends', async () => {
    await using bundle = setup()
    const server = await bundle.run(
      `exec node -e 'require("net").createServer(s=>s.end("bye")).listen(5602,"127.0.0.1",()=>console.log("up"))'`,
    )
    await new Promise((resolve) => server.stdout.once('data', resolve))
    expect(await textOf(await bundle.host.connect('demo', 5602))).toBe('bye')
    await pods.run('demo', 'pkill -x node')
  })
})

describe('watch', () => {
  test('tells a deleted pod from a later pod of the same name', async () => {
    await using bundle = setup()
    const told = inventory(bundle.host)
    const before = await told.until((all) => all.filter(({ ready }) => ready).length === 3)
    expect(before.map(({ name, role, project_id, slots }) => ({ name, role, project_id, slots }))).toEqual([
      { name: 'demo', role: 'project', project_id: 'demo', slots: 4 },
      { name: 'worker-1', role: 'worker', project_id: null, slots: 4 },
      { name: 'worker-2', role: 'worker', project_id: null, slots: 4 },
    ])
    const shell = await bundle.host.shell('worker-1')
    shell.stdout.resume()
    shell.stderr.resume()
    await pods.delete('worker-1', 1)
    await shell.closed
    await told.until((all) => all.length === 2)
    await pods.create('worker-1')
    const after = await told.until((all) => all.some(({ name, ready }) => name === 'worker-1' && ready))
    const uidOf = (all: readonly Pod[]): string | undefined => all.find(({ name }) => name === 'worker-1')?.uid
    expect(uidOf(after)).not.toBe(uidOf(before))
    // It was not ready before it was gone, so nothing is assigned to a pod that is being deleted.
    const states = told.all.map((all) => all.find(({ name }) => name === 'worker-1')).map((pod) => pod?.ready)
    expect(states.indexOf(false)).toBeGreaterThan(-1)
    expect(states.indexOf(false)).toBeLessThan(states.indexOf(undefined))
  })
})

describe('faults', () => {
  test('an API server that goes away ends the shells, leaves the processes, and is found again when it is back', async () => {
    await using bundle = setup()
    const told = inventory(bundle.host)
    await told.until((all) => all.length === 3)
    const shell = await bundle.run('trap "" HUP; setsid sleep 98765 & echo ready; cat > /dev/null')
    await new Promise((resolve) => shell.stdout.once('data', resolve))
    shell.stderr.resume()

    await stopComponent('apiserver')
    await shell.closed
    await expect(bundle.host.shell('demo')).rejects.toThrow('could not be reached')
    await startComponent('apiserver')

    const { stdout } = await eventually(
      async () => await pods.run('demo', 'pgrep -f "sleep 98765"').catch(() => ({ stdout: '' })),
      (answer) => answer.stdout !== '',
    )
    expect(stdout).toMatch(/^\d+$/m)
    await pods.delete('worker-2')
    await told.until((all) => all.length === 2)
    await pods.create('worker-2')
    await told.until((all) => all.length === 3 && all.every(({ ready }) => ready))
    await pods.run('demo', 'pkill -f "sleep 98765"')
  })

  test('a kubelet that restarts ends shells, and the process goes on', async () => {
    await using bundle = setup()
    const shell = await bundle.run('setsid sleep 87654 & echo ready; cat >/dev/null')
    await new Promise((resolve) => shell.stdout.once('data', resolve))
    shell.stderr.resume()
    await stopComponent('kubelet')
    await shell.closed
    await startComponent('kubelet')
    const found = await eventually(
      async () => await pods.processes('demo').catch(() => []),
      (running) => running.length > 0,
    )
    expect(found.map(({ command }) => command)).toContain('sleep 87654')
    await pods.run('demo', 'pkill -f "sleep 87654"')
  })
})

/** All inventories told so far, and a wait for one. */
function inventory(host: PodHost) {
  const all: (readonly Pod[])[] = []
  let look = (): void => {}
  host.watch((pods) => {
    all.push(pods)
    look()
  })
  return {
    all,
    until: async (wanted: (pods: readonly Pod[]) => boolean) =>
      await new Promise<readonly Pod[]>((resolve) => {
        look = () => {
          const last = all.at(-1)
          if (last && wanted(last)) resolve(last)
        }
        look()
      }),
  }
}
