// Splits frames that grow with the cluster, so that none exceeds the limit of a frame: thousands of pods or attempts must not keep every project
// of the cluster offline. The hub puts an inventory together again before it believes any of it; each heartbeat stands for itself.

import type { HubUp } from '@rdev/shared/wire/hub-frames'
import { charsOf, inLists } from '@rdev/shared/wire/lists'

/** Far below the limit of a frame, so that neither the frame's other fields nor characters of several bytes exceed it. */
export const maxPartChars = 256 * 1024

/** The frame, or its parts in order. */
export function inParts(frame: HubUp, maxChars: number): readonly HubUp[] {
  switch (frame.type) {
    case 'heartbeat':
      return inLists(frame.attempts, maxChars).map((attempts) => ({ ...frame, attempts }))
    case 'pods':
      return numbered(inLists(frame.pods, maxChars).map((pods) => ({ ...frame, pods })))
    case 'hello':
      if (charsOf(frame.pods) + charsOf(frame.attempts) <= maxChars) return [frame]
      return numbered([
        ...inLists(frame.pods, maxChars).map((pods) => ({ ...frame, pods, attempts: [] })),
        ...inLists(frame.attempts, maxChars).map((attempts) => ({ ...frame, pods: [], attempts })),
      ])
    default:
      return [frame]
  }
}

const numbered = <Frame extends HubUp>(frames: readonly Frame[]): readonly Frame[] =>
  frames.length === 1 ? frames : frames.map((frame, i) => ({ ...frame, part: i + 1, parts: frames.length }))
