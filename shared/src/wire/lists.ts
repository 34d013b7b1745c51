/** Characters of JSON, with the comma before the next. */
export const charsOf = (items: readonly object[]): number => items.reduce((sum, item) => sum + JSON.stringify(item).length + 1, 0)

/** The items in lists for frames of their own: at most so many characters of JSON each, or one item; at least one list, which may be empty. */
export function inLists<Item extends object>(items: readonly Item[], maxChars: number): Item[][] {
  const lists: Item[][] = [[]]
  let chars = 0
  for (const item of items) {
    const length = charsOf([item])
    if (chars > 0 && chars + length > maxChars) {
      lists.push([])
      chars = 0
    }
    lists.at(-1)!.push(item)
    chars += length
  }
  return lists
}
