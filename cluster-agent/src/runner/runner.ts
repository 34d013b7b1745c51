// The driver of runner-machine.ts: takes assignments, adopts attempts of an earlier agent, and tells what runs. Each attempt has an
// AttemptRun. The runner never ends an attempt because the hub is away.

import type { Assignment, AttemptPresence, AttemptRef } from '@rdev/shared/domain/attempt'
import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import { attemptName } from '@rdev/shared/domain/ids'
import { cancelGraceS } from '@rdev/shared/domain/limits'
import type { Pod } from '@rdev/shared/domain/pod'
import { drive, NamedTimers, within } from '../drive.ts'
import { invalidWorkspace } from '../workspaces/workspace.ts'
import { shutdownGraceS } from './attempt-run-machine.ts'
import type { HubReports } from '../ports.ts'
import type { RunnerDeps } from './attempt-run.ts'
import { AttemptRun } from './attempt-run.ts'
import type { RunnerEffect } from './runner-machine.ts'
import { attemptsOf, hasUnlisted, newRunner, podKey, podsInUse, inventoryFor, stepRunner } from './runner-machine.ts'

/** A pod that does not answer must not delay the hello for all others. One that is not ready seldom answers, so its wait is shorter. */
export const listTimeoutMs = 10_000
export const listUnreadyTimeoutMs = 1_000
export const listAgainMs = 5_000
/** The orphan TTL of the supervisors is many times longer. */
export const touchEveryMs = 60_000
/** When leaving: how long the log has to acknowledge what was read. */
const flushMs = 5_000
/** When stopping everything: how long process trees have to end, and then results to be acknowledged. A caller may kill the agent after 15 s. */
const stopAllMs = 11_000
const lastResultsMs = 2_000

export interface Runner {
  /** Takes the whole inventory. Answers the pods as the hub should see them; `unlisted`: no `gather` has listed the attempts of one of them. */
  pods(pods: readonly Pod[]): { readonly pods: readonly Pod[]; readonly unlisted: boolean }
  gather(): Promise<{ pods: readonly Pod[]; attempts: readonly AttemptPresence[] }>
  assign(tasks: readonly Assignment[]): void
  welcome(adopt: readonly Assignment[], stop: readonly AttemptRef[]): void
  live(): readonly AttemptRef[]
  /** From now on nothing new is started. */
  drain(): void
  /** Leaves every attempt to the next agent. */
  leave(): Promise<void>
  /** Ends every process of every attempt. */
  stopAll(): Promise<void>
}

export function createRunner(deps: RunnerDeps): Runner {
  const { directories, hub, log, timers } = deps
  const runs = new Map<string, AttemptRun>()
  const rejected: HubReports['rejected'] = (ref, reason, detail) => step({ type: 'refused', ref, reason, detail })
  const runDeps: RunnerDeps = { ...deps, hub: { ...hub, rejected } }
  const named = new NamedTimers<'list' | 'touch'>(timers)
  const machine = drive(timers, stepRunner, newRunner, perform)
  const { step } = machine

  function perform(effect: RunnerEffect): void {
    switch (effect.type) {
      case 'begin':
        return begin(effect)
      case 'again':
        return runs.get(effect.name)?.again(effect.token)
      case 'discard':
        return runs.get(effect.name)?.discard()
      case 'pod_gone':
        return runs.get(effect.name)?.podGone()
      case 'missing':
        return runs.get(effect.name)?.missing()
      case 'reject':
        log('warn', 'attempt rejected', { ...effect.ref, reason: effect.reason })
        return hub.rejected(effect.ref, effect.reason, effect.detail)
      case 'ask_provider':
        return void askProvider(effect)
      case 'refuse_in_pod':
        return void refuseInPod(effect)
      case 'clear':
        return void clear(effect.ref, effect.pod)
      case 'finished':
        return hub.finished(effect.ref)
      case 'gather_again':
        log('warn', 'pods could not be listed', { pods: effect.pods })
        return named.set('list', listAgainMs, () => hub.hello())
      case 'overfull':
        return log('warn', 'a pod has more attempt directories than rdev made: it is not ready until the others are removed', {
          pod: effect.pod,
          attempts: effect.attempts,
        })
      case 'touch':
        return touchWhileLive()
    }
  }

  function touchWhileLive(): void {
    if (named.has('touch')) return
    named.repeat('touch', touchEveryMs, () => {
      const names = podsInUse(machine.state)
      if (names.length === 0) named.cancel('touch')
      for (const name of names) {
        if (!machine.state.pods.some((pod) => pod.name === name)) continue
        directories.touch(name).catch(() => log('warn', 'pod could not be touched', { pod: name }))
      }
    })
  }

  function begin({ assignment, pod, home, adopted }: Extract<RunnerEffect, { type: 'begin' }>): void {
    const name = attemptName(assignment.task_id, assignment.attempt)
    const run = new AttemptRun(runDeps, assignment, pod, { home, adopted }, () => {
      runs.delete(name)
      step({ type: 'forgotten', name })
    })
    runs.set(name, run)
    run.begin()
  }

  /** A provider that was found stays found for the life of the pod; for one that was not found the pod is asked again. */
  async function hasProvider(pod: Pod, provider: AgentProvider): Promise<boolean> {
    if (pod.providers.includes(provider) || machine.state.listed.get(podKey(pod))?.includes(provider)) return true
    const found = await deps.agents.get(provider)?.available(pod.name)
    if (found) step({ type: 'provider_found', pod, provider })
    return found ?? false
  }

  async function askProvider({ assignment, pod, provider }: Extract<RunnerEffect, { type: 'ask_provider' }>): Promise<void> {
    const has = await hasProvider(pod, provider ?? deps.agents.default.provider).catch(() => true)
    step({ type: 'provider_asked', assignment, pod, has })
  }

  async function refuseInPod({ assignment, pod, because }: Extract<RunnerEffect, { type: 'refuse_in_pod' }>): Promise<void> {
    const name = attemptName(assignment.task_id, assignment.attempt)
    // Without an answer nothing is done: the hub sends the assignment again.
    const answer = await directories.refuse(pod.name, name).catch(() => undefined)
    if (answer !== undefined) step({ type: 'refused_in_pod', assignment, pod, there: answer === 'there', because })
  }

  async function clear(ref: AttemptRef, pod: string): Promise<void> {
    const name = attemptName(ref.task_id, ref.attempt)
    log('info', 'unwanted attempt stopped', { ...ref, pod })
    try {
      await directories.stop(pod, name, cancelGraceS, 'stopped')
      await directories.remove(pod, name)
    } catch {
      return log('warn', 'unwanted attempt could not be removed', { ...ref, pod })
    }
    step({ type: 'cleared', ref })
  }

  async function gather(): Promise<{ pods: readonly Pod[]; attempts: readonly AttemptPresence[] }> {
    named.cancel('list')
    const refused = [...runs.values()].filter((run) => run.refused).map((run) => run.name)
    const lists = await Promise.all(
      machine.state.pods.map(async (pod) => {
        const boundMs = pod.ready ? listTimeoutMs : listUnreadyTimeoutMs
        const found = await within(timers, boundMs, directories.list(pod.name))
        if (!found) return { pod, found, providers: [] }
        const known = deps.agents.all.map(({ provider }) => provider)
        const has = await Promise.all(known.map((provider) => within(timers, boundMs, hasProvider(pod, provider))))
        return { pod, found, providers: known.filter((_, index) => has[index]) }
      }),
    )
    step({ type: 'gathered', lists, refused })
    for (const { pod, providers } of lists) for (const provider of providers) step({ type: 'provider_found', pod, provider })
    return { pods: inventoryFor(machine.state), attempts: attemptsOf(machine.state, lists) }
  }

  function cease(): void {
    step({ type: 'drain' })
    named.cancel('list')
  }

  return {
    pods: (all) => {
      step({ type: 'pods', pods: all })
      return { pods: inventoryFor(machine.state), unlisted: hasUnlisted(machine.state) }
    },
    gather,
    assign: (tasks) => {
      for (const assignment of tasks) step({ type: 'assign', assignment, invalid: invalidWorkspace(assignment) })
    },
    welcome: (adopt, stop) => {
      for (const assignment of adopt) step({ type: 'adopt', assignment })
      for (const ref of stop) step({ type: 'stop', ref })
    },
    live: () => [...runs.values()].filter((run) => run.live).map((run) => run.ref),
    drain: cease,
    leave: async () => {
      cease()
      named.cancelAll()
      await Promise.all([...runs.values()].map((run) => run.leave(flushMs)))
    },
    stopAll: async () => {
      cease()
      named.cancelAll()
      const wanted = [...runs.values()]
      for (const run of wanted) run.shutdown()
      const strays = await Promise.all(machine.state.pods.map((pod) => within(timers, listTimeoutMs, directories.list(pod.name))))
      const stopped = strays
        .flatMap((list) => list?.attempts ?? [])
        .filter((found) => found.state !== 'exited' && !runs.has(attemptName(found.task_id, found.attempt)))
        .map((found) => directories.stop(found.pod, attemptName(found.task_id, found.attempt), shutdownGraceS, 'stopped'))
      await within(timers, stopAllMs, Promise.all([...wanted.map((run) => run.ended), ...stopped]))
      await within(timers, lastResultsMs, Promise.all(wanted.map((run) => run.forgotten)))
      for (const run of wanted) await run.leave(0)
    },
  }
}
