// What both ends of a measurement read: the wall clock in milliseconds with microseconds. Programs of one machine share it, and so do its containers.

export const wallMs = (): number => performance.timeOrigin + performance.now()

export const clockLines = Number(process.env.RDEV_BENCH_LINES ?? 200)

/** For `node -e`: writes its wall clock every 20 ms. */
export const clockScript = `let n=0;const t=setInterval(()=>{process.stdout.write((performance.timeOrigin+performance.now())+"\\n");if(++n>=${clockLines})clearInterval(t)},20)`

/** Takes what the script wrote as it comes; a line may come in parts. */
export function clockReader(): { readonly late: readonly number[]; read(text: string): void } {
  const late: number[] = []
  let rest = ''
  return {
    late,
    read(text) {
      const now = wallMs()
      const whole = (rest + text).split('\n')
      rest = whole.pop() ?? ''
      for (const line of whole) late.push(now - Number(line))
    },
  }
}

/** `date` is the process: it says when it ran. */
export const startCommand = 'date +%s.%N'

/** From when it was asked for to when it ran. */
export const tookMs = (asked: number, said: string): number => Number(said) * 1000 - asked

const starts = Number(process.env.RDEV_BENCH_STARTS ?? 100)
const pauseMs = 150

/** One at a time, with a pause: what a start costs on a system that is ready for it, not how many can queue behind each other. */
export async function timeStarts(startOne: (index: number) => Promise<number>): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < starts; i++) {
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
    took.push(await startOne(i))
  }
  return took
}
