// What a run of `bench:queue` and `bench:recovery` is asked: parts by name, `--full` for the long one, single sizes by environment.

const flags = process.argv.slice(2)
export const isFull = flags.includes('--full')

const size = (name: string, quick: number, full: number): number => Number(process.env[`RDEV_BENCH_${name}`] ?? (isFull ? full : quick))

export const sizes = {
  /** Tasks that are accepted, for each row. */
  accepted: size('ACCEPTED', 2_000, 20_000),
  /** Requests, or calls of a peer, in flight at once. */
  clients: size('CLIENTS', 32, 32),
  /** Whole life cycles, for each row. */
  lives: size('LIVES', 300, 2_000),
  /** Slots where tasks can run at once. */
  slots: size('SLOTS', 20, 20),
  /** Claims, for each row. */
  claims: size('CLAIMS', 200, 1_000),
  depths: (process.env.RDEV_BENCH_DEPTHS ?? (isFull ? '1000,100000,1000000' : '1000,100000')).split(',').map(Number),
  /** Live runs when a program is killed, and how often each is. */
  runs: size('RUNS', 200, 200),
  rounds: size('ROUNDS', 2, 5),
}

/** The parts named on the command line, or all. Throws for an unknown name. */
export function wantedParts<Name extends string>(parts: Readonly<Record<Name, () => Promise<void>>>): readonly (() => Promise<void>)[] {
  const names = Object.keys(parts) as Name[]
  const wanted = flags.filter((flag) => !flag.startsWith('--'))
  const unknown = wanted.filter((name) => !names.includes(name as Name))
  if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}; there are ${names.join(', ')}`)
  return names.filter((name) => wanted.length === 0 || wanted.includes(name)).map((name) => parts[name])
}
