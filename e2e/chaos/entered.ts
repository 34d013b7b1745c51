// Reads the log entries of counted.ts from the output of the programs.
import { enteredPhrase } from './counted.ts'

export interface Entered {
  /** `<object>.<entry>`, in order. */
  readonly entries: string[]
  /** For `StackOptions.onLog`. */
  readonly onLog: (text: string) => void
  /** Resolves when that object is next entered so. */
  next(entry: string, name: string): Promise<void>
}

export function collectEntered(): Entered {
  const entries: string[] = []
  const waiting = new Map<string, PromiseWithResolvers<void>>()
  let rest = ''
  return {
    entries,
    next: (entry, name) => {
      const key = `${entry} ${name}`
      const waiter = waiting.get(key) ?? Promise.withResolvers<void>()
      waiting.set(key, waiter)
      return waiter.promise
    },
    onLog: (text) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (!line.includes(enteredPhrase)) continue
        const said = JSON.parse(line.slice(line.indexOf('{'))) as { object: string; entry: string; name: string }
        const entry = `${said.object}.${said.entry}`
        entries.push(entry)
        waiting.get(`${entry} ${said.name}`)?.resolve()
        waiting.delete(`${entry} ${said.name}`)
      }
    },
  }
}
