// Puts an inventory together that its agent tells in parts, because one frame could not hold it. Nothing of it is believed before the last part:
// a pod or an attempt that is not told yet would be taken for gone.

import type { HubUp } from '@rdev/shared/wire/hub-frames'
import { maxInventoryAttempts, maxInventoryPods } from '@rdev/shared/wire/limits'

export type Inventory = Extract<HubUp, { type: 'hello' | 'pods' }>

/** The parts that came, and the number of the next. */
export interface PartsTold {
  readonly inventory: Inventory
  readonly parts: number
  readonly next: number
}

export type Joined =
  | { readonly told: PartsTold | null; readonly whole: Inventory | null }
  /** It is not one that an agent of rdev tells, or it is larger than the hub may hold. */
  | 'refused'

const attemptsOf = (frame: Inventory) => (frame.type === 'hello' ? frame.attempts : [])

export function joinParts(told: PartsTold | null, frame: Inventory): Joined {
  const { part = 1, parts = 1 } = frame
  if (part > parts) return 'refused'
  if (parts === 1) return { told: null, whole: frame }
  // The object slept between two parts; it asked for a new `hello` when it woke.
  if (part > 1 && told === null) return { told: null, whole: null }
  if (part > 1 && (told?.inventory.type !== frame.type || told.parts !== parts || told.next !== part)) return 'refused'
  const before = part === 1 ? undefined : told?.inventory
  const pods = [...(before?.pods ?? []), ...frame.pods]
  const attempts = [...(before ? attemptsOf(before) : []), ...attemptsOf(frame)]
  if (pods.length > maxInventoryPods || attempts.length > maxInventoryAttempts) return 'refused'
  const inventory: Inventory = frame.type === 'hello' ? { ...frame, pods, attempts } : { ...frame, pods }
  return part === parts ? { told: null, whole: inventory } : { told: { inventory, parts, next: part + 1 }, whole: null }
}
