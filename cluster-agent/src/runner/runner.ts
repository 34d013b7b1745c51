// What runs here: takes assignments, adopts what an earlier agent left, tells what there is. Each attempt lives in its AttemptRun.
// It never ends anything on its own account because the hub is away: what runs goes on until somebody says otherwise.

import type { Assignment, AttemptPresence, RejectReason } from '@rdev/shared/domain/attempt'
import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import { attemptName } from '@rdev/shared/domain/ids'
import type { Pod } from '@rdev/shared/domain/pod'
import type { AttemptRef } from '@rdev/shared/wire/parts'
import { invalidWorkspace } from '../workspaces/workspace.ts'
import { shutdownGraceS, stopGraceS } from './attempt-machine.ts'
import type { RunnerDeps } from './attempt-run.ts'
import { AttemptRun } from './attempt-run.ts'

/** A pod that does not answer must not hold up the hello of all others; one that is not ready is hardly expected to. */
export const listTimeoutMs = 10_000
export const listUnreadyTimeoutMs = 1_000
export const listAgainMs = 5_000
/** The orphan TTL of supervisors is many times this. */
export const touchEveryMs = 60_000
/** Leaving: for the log to acknowledge what was read. */
const flushMs = 5_000
/** Stopping everything: for trees to end, and then for results to be acknowledged. What started us may not wait much longer than 15 s. */
const stopAllMs = 11_000
const lastResultsMs = 2_000

export interface Runner {
  /** The whole inventory. Answers whether there is a pod that no `gather` has spoken for. */
  pods(pods: readonly Pod[]): { readonly pods: readonly Pod[]; readonly unlisted: boolean }
  gather(): Promise<{ pods: readonly Pod[]; attempts: readonly AttemptPresence[] }>
  assign(tasks: readonly Assignment[]): void
  welcome(adopt: readonly Assignment[], stop: readonly AttemptRef[]): void
  live(): readonly AttemptRef[]
  /** From now on nothing new is started. */
  drain(): void
  /** Lets everything go on without us. */
  leave(): Promise<void>
  /** Ends every process of every attempt. */
  stopAll(): Promise<void>
}

export function createRunner(deps: RunnerDeps): Runner {
  const { directories, hub, log } = deps
  const runs = new Map<string, AttemptRun>()
  /** Attempt directories of the last gathering by name: what may be here without a run. */
  let present = new Map<string, AttemptPresence>()
  let pods: readonly Pod[] = []
  /** Pods that a gathering has spoken for, and the providers found in them. */
  const listed = new Map<string, Set<AgentProvider>>()
  let draining = false
  let listAgain: NodeJS.Timeout | undefined
  let toucher: NodeJS.Timeout | undefined

  const podNamed = (name: string): Pod | undefined => pods.find((pod) => pod.name === name)

  function touchWhileLive(): void {
    toucher ??= setInterval(() => {
      const names = new Set([...runs.values()].map((run) => run.pod.name))
      for (const found of present.values()) if (found.state === 'running') names.add(found.pod)
      if (names.size === 0) {
        clearInterval(toucher)
        toucher = undefined
      }
      for (const name of names) {
        if (podNamed(name)) directories.touch(name).catch(() => log('warn', 'pod could not be touched', { pod: name }))
      }
    }, touchEveryMs)
  }

  function run(assignment: Assignment, pod: Pod, adopted: boolean): void {
    const name = attemptName(assignment.task_id, assignment.attempt)
    const created = new AttemptRun(deps, assignment, pod, adopted, () => {
      runs.delete(name)
      present.delete(name)
    })
    // An attempt number is given out when all lower ones are over: what still calls itself one here is not wanted any more.
    for (const other of runs.values()) {
      if (other.ref.task_id === assignment.task_id && other.ref.attempt < assignment.attempt) other.discard()
    }
    runs.set(name, created)
    created.begin()
    touchWhileLive()
  }

  function refusal(assignment: Assignment): { reason: RejectReason; detail?: string } | undefined {
    if (draining) return { reason: 'draining' }
    const pod = podNamed(assignment.pod)
    if (!pod) return { reason: 'no_such_pod' }
    if (!pod.ready) return { reason: 'pod_not_ready' }
    const wrong = invalidWorkspace(assignment)
    if (wrong) return { reason: 'invalid', detail: wrong }
    if (assignment.permission_mode === 'bypassPermissions' && !pod.allow_bypass_permissions) {
      return { reason: 'invalid', detail: 'the pod does not allow bypassPermissions' }
    }
    return undefined
  }

  /** Found once is found for the life of the pod; not found is asked again. */
  async function hasProvider(pod: Pod, provider: AgentProvider): Promise<boolean> {
    if (pod.providers.includes(provider) || listed.get(keyOf(pod))?.has(provider)) return true
    const found = await deps.agents.get(provider)?.available(pod.name)
    if (found) listed.get(keyOf(pod))?.add(provider)
    return found ?? false
  }

  function assignOne(assignment: Assignment): void {
    const { task_id, attempt } = assignment
    const name = attemptName(task_id, attempt)
    const known = runs.get(name)
    if (known) return known.again(assignment.token)
    const refused = present.has(name) ? undefined : refusal(assignment)
    if (refused) {
      log('warn', 'attempt rejected', { task_id, attempt, reason: refused.reason })
      return hub.rejected({ task_id, attempt }, refused.reason, refused.detail)
    }
    const pod = podNamed(assignment.pod)
    // It is here, but its pod is not in the inventory at the moment: the next hello tells of it.
    if (!pod) return
    if (assignment.kind !== 'agent') return run(assignment, pod, false)
    const provider = assignment.provider ?? deps.agents.default.provider
    if (listed.get(keyOf(pod))?.has(provider)) return run(assignment, pod, false)
    // A pod that cannot be asked is tried: the start itself will tell.
    void hasProvider(pod, provider)
      .catch(() => true)
      .then((has) => {
        if (runs.has(name)) return
        if (has) run(assignment, pod, false)
        else hub.rejected({ task_id, attempt }, 'binary_missing', `no ${provider} in the pod`)
      })
  }

  function adoptOne(assignment: Assignment): void {
    const known = runs.get(attemptName(assignment.task_id, assignment.attempt))
    if (known) return known.again(assignment.token)
    const pod = podNamed(assignment.pod)
    if (pod) run(assignment, pod, true)
  }

  function stopOne(ref: AttemptRef): void {
    const name = attemptName(ref.task_id, ref.attempt)
    const known = runs.get(name)
    if (known) return known.discard()
    const found = present.get(name)
    if (!found) return
    present.delete(name)
    log('info', 'unwanted attempt stopped', { ...ref, pod: found.pod })
    void (async () => {
      await directories.stop(found.pod, name, stopGraceS, 'stopped')
      await directories.remove(found.pod, name)
      hub.finished(ref)
    })().catch(() => log('warn', 'unwanted attempt could not be removed', { ...ref, pod: found.pod }))
  }

  async function gather(): Promise<{ pods: readonly Pod[]; attempts: readonly AttemptPresence[] }> {
    clearTimeout(listAgain)
    const lists = await Promise.all(
      pods.map(async (pod) => {
        const boundMs = pod.ready ? listTimeoutMs : listUnreadyTimeoutMs
        const attempts = await bounded(directories.list(pod.name), boundMs)
        if (attempts) {
          listed.set(keyOf(pod), listed.get(keyOf(pod)) ?? new Set(pod.providers))
          await Promise.all(deps.agents.all.map((agent) => bounded(hasProvider(pod, agent.provider), boundMs)))
        }
        return { pod, attempts }
      }),
    )
    const attempts = lists.flatMap((list) => list.attempts ?? [])
    // Of pods that did not answer, what was known of them still stands.
    const silent = lists.filter((list) => list.attempts === undefined).map((list) => list.pod)
    const kept = [...present].filter(([, found]) => silent.some((pod) => pod.name === found.pod))
    present = new Map([...kept, ...attempts.map((found) => [attemptName(found.task_id, found.attempt), found] as const)])
    for (const pod of silent) listed.delete(keyOf(pod))
    if (silent.some((pod) => pod.ready) && !draining) {
      log('warn', 'pods could not be listed', { pods: silent.map((pod) => pod.name) })
      listAgain = setTimeout(() => hub.hello(), listAgainMs)
    }
    if (attempts.some((found) => found.state === 'running')) touchWhileLive()
    return { pods: spokenFor(), attempts }
  }

  /** Of a pod whose attempts are not known the hub must not hear: it would take them for lost. */
  const spokenFor = (): readonly Pod[] =>
    pods.flatMap((pod) => {
      const providers = listed.get(keyOf(pod))
      return providers ? [{ ...pod, providers: [...providers] }] : []
    })

  function cease(): void {
    draining = true
    clearTimeout(listAgain)
  }

  return {
    pods: (all) => {
      pods = all
      const keys = new Set(all.map(keyOf))
      for (const key of listed.keys()) if (!keys.has(key)) listed.delete(key)
      for (const [name, found] of present) if (!podNamed(found.pod)) present.delete(name)
      for (const run of runs.values()) if (!keys.has(keyOf(run.pod))) run.podGone()
      return { pods: spokenFor(), unlisted: all.some((pod) => pod.ready && !listed.has(keyOf(pod))) }
    },
    gather,
    assign: (tasks) => {
      for (const task of tasks) assignOne(task)
    },
    welcome: (adopt, stop) => {
      for (const assignment of adopt) adoptOne(assignment)
      for (const ref of stop) stopOne(ref)
    },
    live: () => [...runs.values()].filter((run) => run.live).map((run) => run.ref),
    drain: cease,
    leave: async () => {
      cease()
      clearInterval(toucher)
      await Promise.all([...runs.values()].map((run) => run.leave(flushMs)))
    },
    stopAll: async () => {
      cease()
      clearInterval(toucher)
      const wanted = [...runs.values()]
      for (const run of wanted) run.shutdown()
      const strays = await Promise.all(pods.map((pod) => bounded(directories.list(pod.name), listTimeoutMs)))
      const stopped = strays
        .flatMap((list) => list ?? [])
        .filter((found) => found.state !== 'exited' && !runs.has(attemptName(found.task_id, found.attempt)))
        .map((found) => directories.stop(found.pod, attemptName(found.task_id, found.attempt), shutdownGraceS, 'stopped'))
      await bounded(Promise.all([...wanted.map((run) => run.ended), ...stopped]), stopAllMs)
      await bounded(Promise.all(wanted.map((run) => run.forgotten)), lastResultsMs)
      for (const run of wanted) await run.leave(0)
    },
  }
}

/** A pod and its successor of the same name are two. */
const keyOf = (pod: Pod): string => `${pod.name}/${pod.uid}`

/** Undefined if it fails, or is not there within `maxMs`. */
async function bounded<Result>(promise: Promise<Result>, maxMs: number): Promise<Result | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), maxMs)
  })
  try {
    return await Promise.race([promise, late])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}
