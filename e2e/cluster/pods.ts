// Pods of a real cluster for the scenarios: a project's pod and two workers, in a namespace with pod security admission `restricted`. It needs only
// a KUBECONFIG and the claudebox image; `e2e/cluster/up.sh` makes both.
//
// It looks into containers by client-node's own Exec, and not by the pod host under test, whose errors it must not share.

import { execFile } from 'node:child_process'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import { ApiException, CoreV1Api, Exec, KubeConfig, type V1EmptyDirVolumeSource, type V1Pod, type V1Status } from '@kubernetes/client-node'
import { podLabels } from '@rdev/shared/domain/pod'
import { grantAgentRights } from './rights.ts'

/** The address at which a server of this computer must listen so that pods reach it, and the name by which they do. */
export const nodeAddress = process.env.RDEV_CLUSTER_ADDRESS ?? '10.89.0.1'
export const modelHost = process.env.RDEV_CLUSTER_MODEL_HOST ?? 'model.rdev.test'
const image = process.env.RDEV_CLAUDEBOX_IMAGE ?? 'localhost/claudebox:1'

export interface ClusterPodsOptions {
  readonly namespace?: string
  /** The environment of every container. The values are visible, so pass no secrets. */
  readonly env?: Readonly<Record<string, string>>
  /** The id of the project to which the pod `demo` belongs. */
  readonly projectId?: string
  /** A directory of this computer that is copied to the workspace of the project's pod. */
  readonly workspace?: string
  readonly slots?: number
  readonly readyWithinMs?: number
  /** Instead of `demo` and the two workers: pods with these names, each for the project of the same name. */
  readonly projects?: Readonly<Record<string, ProjectPod>>
}

export interface ProjectPod {
  /** The memory limit, above which the kernel kills. */
  readonly memory?: string
  /** `claim`: a volume that outlives the pod, like that of a StatefulSet. Default: one that lives as long as the pod. */
  readonly home?: 'claim' | V1EmptyDirVolumeSource
}

export interface ContainerProcess {
  readonly pid: number
  readonly ppid: number
  /** The state letters of `ps`; Z is a zombie. */
  readonly state: string
  readonly command: string
}

export interface ClusterPods {
  /** With the rights that `kustomize/` gives to the agent and no others. */
  readonly agentKubeConfig: KubeConfig
  readonly namespace: string
  readonly project: 'demo'
  readonly workers: readonly ['worker-1', 'worker-2']
  /** The environment that the agent needs for these pods. */
  readonly agentEnv: Readonly<Record<string, string>>
  /** All processes of the container except PID 1, its child, and the one that lists them. */
  processes(pod: string): Promise<readonly ContainerProcess[]>
  /** The ids of processes with this text in their environment or command line, also of zombies. */
  processesWith(pod: string, text: string): Promise<readonly number[]>
  /** Runs a script by `sh` as the pod's user. Throws only if it could not be run. */
  run(pod: string, script: string): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>
  /** Copies the contents of a directory of this computer into one of the container. */
  copyInto(pod: string, from: string, to: string): Promise<void>
  uid(pod: string): Promise<string>
  /** Deletes the pod: TERM, then KILL after `graceS`. Resolves when it is gone. */
  delete(pod: string, graceS?: number): Promise<void>
  /** Evicts the pod by the Eviction API, as `kubectl drain` does. Resolves when it is gone. */
  evict(pod: string): Promise<void>
  /** Lets the kubelet end the pod's containers by a deadline that has passed. The object stays with phase Failed, as after the kubelet's evictions. */
  expire(pod: string): Promise<void>
  /** The pod's `status.phase`, and `status.reason` if it has one. */
  phase(pod: string): Promise<string>
  /** Makes a deleted pod again with the same name. Resolves when it is ready. */
  create(pod: string): Promise<void>
  /** Removes the namespace with everything in it. */
  remove(): Promise<void>
}

const project = 'demo'
const workers = ['worker-1', 'worker-2'] as const

export async function createClusterPods(options: ClusterPodsOptions = {}): Promise<ClusterPods> {
  const { namespace = 'rdev-test', readyWithinMs = 120_000 } = options
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromDefault()
  const api = kubeConfig.makeApiClient(CoreV1Api)

  const read = async (name: string): Promise<V1Pod | undefined> => await found(api.readNamespacedPod({ namespace, name }))
  const remove = async (name: string, graceS: number): Promise<void> => {
    const before = await read(name)
    if (!before) return
    await found(api.deleteNamespacedPod({ namespace, name, gracePeriodSeconds: graceS }))
    await until(`pod ${name} to be gone`, 60_000, async () => (await read(name))?.metadata?.uid !== before.metadata?.uid)
  }
  const create = async (name: string): Promise<void> => {
    await api.createNamespacedPod({ namespace, body: podOf(name, options) })
    await until(`pod ${name} to be ready`, readyWithinMs, async () => {
      const pod = await read(name)
      const waiting = pod?.status?.containerStatuses?.[0]?.state?.waiting
      if (waiting?.reason && /Err|Backoff/i.test(waiting.reason))
        throw new Error(`pod ${name}: ${waiting.reason}: ${waiting.message ?? ''}`)
      return (pod?.status?.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True')
    })
    if (options.projects) await pods.run(name, 'mkdir -p ~/workspace')
    else if (name === project && options.workspace) await pods.copyInto(name, options.workspace, '/home/agent/workspace')
  }

  const names = options.projects ? Object.keys(options.projects) : [project, ...workers]
  await createNamespace(api, namespace)
  const claims = await api.listNamespacedPersistentVolumeClaim({ namespace })
  for (const name of names) {
    // A claim of an earlier run may still exist.
    if (options.projects?.[name]?.home !== 'claim' || claims.items.some(({ metadata }) => metadata?.name === name)) continue
    await api.createNamespacedPersistentVolumeClaim({ namespace, body: claimOf(name) })
  }
  const rights = await grantAgentRights(kubeConfig, namespace)

  const pods: ClusterPods = {
    agentKubeConfig: rights.kubeConfig,
    namespace,
    project,
    workers,
    agentEnv: { RDEV_POD_HOST: 'kubernetes', RDEV_NAMESPACE: namespace, KUBECONFIG: rights.file },
    run: async (pod, script) => await execIn(kubeConfig, namespace, pod, ['sh', '-c', script]),
    async processes(pod) {
      const { stdout } = await execIn(kubeConfig, namespace, pod, ['ps', '-eww', '-o', 'pid=,ppid=,stat=,args='])
      return stdout
        .split('\n')
        .flatMap((line) => {
          const [, pid, ppid, state, command] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? []
          return pid ? [{ pid: Number(pid), ppid: Number(ppid), state: state ?? '', command: command ?? '' }] : []
        })
        .filter(({ pid, ppid, command }) => pid !== 1 && !(ppid === 1 && command === 'sleep infinity') && !command.startsWith('ps -eww'))
    },
    async processesWith(pod, text) {
      // The pattern comes by stdin, so that the search does not find itself.
      const script = `exec grep -lsaF -f - /proc/[0-9]*/environ /proc/[0-9]*/cmdline`
      const { stdout } = await execIn(kubeConfig, namespace, pod, ['sh', '-c', script], Buffer.from(`${text}\n`))
      return [...new Set([...stdout.matchAll(/^\/proc\/(\d+)\//gm)].map(([, pid]) => Number(pid)))]
    },
    async copyInto(pod, from, to) {
      const { stdout: archive } = await promisify(execFile)('tar', ['-C', from, '--owner=1000', '--group=1000', '-c', '.'], {
        encoding: 'buffer',
        maxBuffer: 64 * 1024 * 1024,
      })
      const { exitCode, stderr } = await execIn(
        kubeConfig,
        namespace,
        pod,
        // The script gets the length, because it does not see the end of stdin: see execIn.
        ['sh', '-c', `mkdir -p '${to}' && head -c ${archive.length} | tar -C '${to}' -x --no-same-owner`],
        archive,
      )
      if (exitCode !== 0) throw new Error(`copying into ${pod} failed: ${stderr}`)
    },
    uid: async (pod) => (await read(pod))?.metadata?.uid ?? '',
    delete: async (pod, graceS = 0) => await remove(pod, graceS),
    async evict(pod) {
      const before = await read(pod)
      await api.createNamespacedPodEviction({ namespace, name: pod, body: { metadata: { name: pod, namespace } } })
      await until(`pod ${pod} to be gone`, 60_000, async () => (await read(pod))?.metadata?.uid !== before?.metadata?.uid)
    },
    async expire(pod) {
      const body = [{ op: 'add', path: '/spec/activeDeadlineSeconds', value: 1 }]
      await api.patchNamespacedPod({ namespace, name: pod, body })
    },
    phase: async (pod) => {
      const status = (await read(pod))?.status
      return [status?.phase, status?.reason].filter(Boolean).join(' ')
    },
    create,
    async remove() {
      await rights.forget()
      // Without a grace period there is nothing to wait for.
      await api.deleteCollectionNamespacedPod({ namespace, gracePeriodSeconds: 0 })
      await found(api.deleteNamespace({ name: namespace }))
      await until(
        `namespace ${namespace} to be gone`,
        120_000,
        async () => (await found(api.readNamespace({ name: namespace }))) === undefined,
      )
    },
  }

  await Promise.all(
    names.map(async (name) => {
      await remove(name, 0)
      await create(name)
    }),
  )
  return pods
}

async function createNamespace(api: CoreV1Api, name: string): Promise<void> {
  const read = async () => await found(api.readNamespace({ name }))
  await until(
    `namespace ${name} of an earlier run to be gone`,
    120_000,
    async () => (await read())?.metadata?.deletionTimestamp === undefined,
  )
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/enforce-version': 'latest' }
  if (!(await read())) await api.createNamespace({ body: { metadata: { name, labels } } })
  await until('the default service account', 30_000, async () => {
    return (await found(api.readNamespacedServiceAccount({ namespace: name, name: 'default' }))) !== undefined
  })
}

const claimOf = (name: string) => ({
  metadata: { name },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '64Mi' } } },
})

function podOf(name: string, { env = {}, projectId = project, slots, projects }: ClusterPodsOptions): V1Pod {
  const shape = projects?.[name] ?? {}
  const home = shape.home === 'claim' ? { persistentVolumeClaim: { claimName: name } } : { emptyDir: shape.home ?? {} }
  const role: Record<string, string> =
    projects || name === project
      ? { [podLabels.project]: 'true', [podLabels.projectId]: projects ? name : projectId }
      : { [podLabels.role]: 'worker' }
  return {
    metadata: { name, labels: { ...role, ...(slots === undefined ? {} : { [podLabels.slots]: String(slots) }) } },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 5,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 1000,
        runAsGroup: 1000,
        fsGroup: 1000,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'box',
          image,
          imagePullPolicy: 'IfNotPresent',
          env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          resources: { requests: { cpu: '10m', memory: '64Mi' }, ...(shape.memory ? { limits: { memory: shape.memory } } : {}) },
          // As in a real project's pod, the home outlives the container.
          volumeMounts: [{ name: 'home', mountPath: '/home/agent' }],
        },
      ],
      volumes: [{ name: 'home', ...home }],
    },
  }
}

/** Runs one command to its end, for small outputs. Rejects if it was cut, refused, or took more than 30 s. */
async function execIn(kubeConfig: KubeConfig, namespace: string, pod: string, command: string[], input?: Buffer) {
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const stdin = input ? new PassThrough() : null
  const texts = Promise.all([stdout, stderr].map(textOf))
  let timer: NodeJS.Timeout | undefined
  try {
    const status = await new Promise<V1Status>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no end of an exec in ${pod}`)), 30_000)
      new Exec(kubeConfig)
        .exec(namespace, pod, 'box', command, stdout, stderr, stdin, false, resolve)
        .then((socket) => {
          socket.addEventListener('close', () => reject(new Error(`an exec in ${pod} was cut`)))
          stdin?.end(input)
        })
        .catch((error: unknown) => reject(error instanceof Error ? error : new Error(`exec in ${pod} was refused`, { cause: error })))
    })
    const cause = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')
    if (status.status !== 'Success' && !cause) throw new Error(`exec in ${pod}: ${status.message ?? 'no reason given'}`)
    stdout.end()
    stderr.end()
    const [out = '', err = ''] = await texts
    return { exitCode: Number(cause?.message ?? 0), stdout: out, stderr: err }
  } finally {
    clearTimeout(timer)
    stdout.end()
    stderr.end()
  }
}

async function textOf(stream: PassThrough): Promise<string> {
  let text = ''
  stream.setEncoding('utf8')
  for await (const part of stream) text += String(part)
  return text
}

/** Undefined in place of a 404. */
async function found<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ApiException && error.code === 404) return undefined
    throw error
  }
}

async function until(what: string, withinMs: number, reached: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + withinMs; !(await reached());) {
    if (performance.now() > deadline) throw new Error(`waited ${withinMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
