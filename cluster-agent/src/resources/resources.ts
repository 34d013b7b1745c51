// The driver of resources-machine.ts: lists, applies and removes resources through the given kinds, and reports what it observes.

import type { DesiredResources, ObservedResources } from '@rdev/shared/domain/resource'
import { resourceKey } from '@rdev/shared/domain/resource'
import { drive } from '../drive.ts'
import type { Log, ResourceKind, Timers } from '../ports.ts'
import { newResources, stepResources, type ResourcesEffect } from './resources-machine.ts'

export interface Resources {
  desired(desired: DesiredResources): void
  /** The connection to the hub: another agent may be at work until `desired` is received again. */
  lost(): void
  /** Begins nothing more: another agent may be at work by now. */
  close(): void
}

export interface ResourcesDeps {
  readonly kinds: readonly ResourceKind[]
  readonly timers: Timers
  readonly log: Log
}

export function createResources({ kinds, timers, log }: ResourcesDeps, report: (observed: ObservedResources) => void): Resources {
  const kindOf = new Map(kinds.map((kind) => [kind.kind, kind]))
  let closed = false
  const machine = drive(timers, stepResources, newResources([...kindOf.keys()]), perform)

  function perform(effect: ResourcesEffect): void {
    if (closed) return
    switch (effect.type) {
      case 'list':
        return void list(effect.kind)
      case 'apply':
        return void operate(effect.resource, (kind) => kind.apply(effect.resource, effect.version))
      case 'remove':
        return void operate(effect, (kind) => kind.remove(effect.name, effect.version))
      case 'timer':
        return void timers.after(effect.inMs, () => !closed && machine.step(effect.input))
      case 'report':
        return report(effect.observed)
    }
  }

  async function list(kind: string): Promise<void> {
    try {
      const names = (await kindOf.get(kind)?.list()) ?? []
      machine.step({ type: 'listed', kind, names })
    } catch (error) {
      log('warn', 'resources could not be listed', { kind, error: String(error) })
      machine.step({ type: 'list_failed', kind })
    }
  }

  async function operate(
    one: { readonly kind: string; readonly name: string },
    operation: (kind: ResourceKind) => Promise<void>,
  ): Promise<void> {
    let error: string | undefined
    try {
      await operation(kindOf.get(one.kind)!)
    } catch (cause) {
      error = cause instanceof Error ? cause.message : 'unknown'
      log('warn', 'resource could not be changed', { kind: one.kind, name: one.name, error })
    }
    machine.step({ type: 'operated', key: resourceKey(one), error })
  }

  return {
    desired: (desired) => {
      if (!closed) machine.step({ type: 'desired', desired })
    },
    lost: () => {
      if (!closed) machine.step({ type: 'lost' })
    },
    close: () => {
      closed = true
    },
  }
}
