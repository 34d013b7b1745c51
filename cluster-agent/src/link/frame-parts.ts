// Splits frames that grow with the cluster, so that none exceeds the limit of a frame: thousands of pods or attempts must not keep every project
// of the cluster offline. The hub puts an inventory together again before it believes any of it; each heartbeat stands for itself.

import type { HubUp } from '@rdev/shared/wire/hub-frames'

/** Far below the limit of a frame, so that neither the frame's other fields nor characters of several bytes exceed it. */
export const maxPartChars = 256 * 1024

/** The frame, or its parts in order. */
export function inParts(frame: HubUp, maxChars: number): readonly HubUp[] {
  switch (frame.type) {
    case 'heartbeat':
      return lists(frame.attempts, maxChars).map((attempts) => ({ ...frame, attempts }))
    case 'pods':
      return numbered(lists(frame.pods, maxChars).map((pods) => ({ ...frame, pods })))
    case 'hello':
      if (charsOf(frame.pods) + charsOf(frame.attempts) <= maxChars) return [frame]
      return numbered([
        ...lists(frame.pods, maxChars).map((pods) => ({ ...frame, pods, attempts: [] })),
        ...lists(frame.attempts, maxChars).map((attempts) => ({ ...frame, pods: [], attempts })),
      ])
    default:
      return [frame]
  }
}

const numbered = <Frame extends HubUp>(frames: readonly Frame[]): readonly Frame[] =>
  frames.length === 1 ? frames : frames.map((frame, i) => ({ ...frame, part: i + 1, parts: frames.length }))

const charsOf = (items: readonly object[]): number => items.reduce((sum, item) => sum + JSON.stringify(item).length + 1, 0)

/** The items in lists of at most so many characters of JSON, or of one item; at least one list. */
function lists<Item extends object>(items: readonly Item[], maxChars: number): Item[][] {
  const split: Item[][] = [[]]
  let chars = 0
  for (const item of items) {
    const length = charsOf([item])
    if (chars > 0 && chars + length > maxChars) {
      split.push([])
      chars = 0
    }
    split.at(-1)!.push(item)
    chars += length
  }
  return split
}
