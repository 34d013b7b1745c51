/** Cuts `text` to at most `maxBytes` of UTF-8, never inside a character; `removed` counts the bytes that were cut. */
export function truncateUtf8(text: string, maxBytes: number): { text: string; removed: number } {
  // A UTF-16 unit takes at most 3 bytes, so a short text needs no counting.
  if (text.length * 3 <= maxBytes) return { text, removed: 0 }
  let bytes = 0
  let cut = -1
  for (let i = 0; i < text.length;) {
    const point = text.codePointAt(i)!
    const size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
    if (cut < 0 && bytes + size > maxBytes) cut = i
    bytes += size
    i += point > 0xffff ? 2 : 1
  }
  if (cut < 0) return { text, removed: 0 }
  const kept = text.slice(0, cut)
  return { text: kept, removed: bytes - utf8Length(kept) }
}

export function utf8Length(text: string): number {
  let bytes = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) bytes += 1
    else if (unit < 0x800) bytes += 2
    else if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < text.length) {
      bytes += 4
      i++
    } else bytes += 3
  }
  return bytes
}

/** UTF-8 bytes of a text inside of JSON, as JSON.stringify writes it, without the quotes. */
export const jsonTextBytes = (text: string): number => utf8Length(JSON.stringify(text)) - 2

/** Where the piece that begins at `from` ends, if it may have `maxBytes` inside of JSON: never inside a character, and at least one of them. */
export function jsonTextEnd(text: string, from: number, maxBytes: number): number {
  let bytes = 0
  let at = from
  while (at < text.length) {
    const point = text.codePointAt(at)!
    bytes += jsonPointBytes(point)
    if (bytes > maxBytes && at > from) return at
    at += point > 0xffff ? 2 : 1
  }
  return at
}

function jsonPointBytes(point: number): number {
  // \n and its kin have a short form, other control characters and lone surrogates are \u0000.
  if (point < 0x20) return point === 8 || point === 9 || point === 10 || point === 12 || point === 13 ? 2 : 6
  if (point === 0x22 || point === 0x5c) return 2
  if (point >= 0xd800 && point < 0xe000) return 6
  return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
}
