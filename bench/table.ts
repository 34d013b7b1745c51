/** The value below which `share` of the sorted copy lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

type Named = readonly [name: string, values: readonly number[]]

/** The raw way, ours, and what ours adds to it; `ratio` where that is what is aimed at. */
export function printLatency(
  title: string,
  raw: Named,
  ours: Named,
  { ratio = false, floor }: { ratio?: boolean; floor?: Named } = {},
): void {
  const shares = [0.5, 0.95, 0.99]
  const of = (values: readonly number[]) => shares.map((share) => percentile(values, share))
  const last = (value: string | number) => (ratio ? [value] : [])
  printTable(
    title,
    ['', 'p50', 'p95', 'p99', ...(ratio ? ['ratio p50'] : [])],
    [
      [raw[0], ...of(raw[1]), ...last(1)],
      ...(floor ? [[floor[0], ...of(floor[1])]] : []),
      [ours[0], ...of(ours[1]), ...last(percentile(ours[1], 0.5) / percentile(raw[1], 0.5))],
      ['added', ...shares.map((share) => percentile(ours[1], share) - percentile(raw[1], share)), ...last('')],
    ],
  )
}

export function printStarts(title: string, raw: Named, ours: Named): void {
  const row = ([name, values]: Named) => [
    name,
    percentile(values, 0.5),
    percentile(values, 0.95),
    percentile(values, 0.5) / percentile(raw[1], 0.5),
  ]
  printTable(title, ['', 'p50', 'p95', 'ratio p50'], [row(raw), row(ours)])
}

export function printTable(title: string, header: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const cells = [header, ...rows.map((row) => row.map((cell) => (typeof cell === 'number' ? round(cell) : cell)))]
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  console.log(`\n${title}\n`)
  for (const [index, row] of cells.entries()) {
    console.log(
      `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`,
    )
    if (index === 0) console.log(`|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`)
  }
}

function round(value: number): string {
  if (!Number.isFinite(value)) return '?'
  return value >= 1000 ? Math.round(value).toLocaleString('en-US').replaceAll(',', ' ') : value.toFixed(2)
}
