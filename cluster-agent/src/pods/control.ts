// The control shell of a pod: one stream for many questions at once. Each question gets an answer, or rejects with ShellCut.

import { ShellCut, type Session } from './shell-session.ts'

export interface Answer {
  readonly status: string
  readonly rest: string
  /** The data lines before the answer. */
  readonly data: readonly string[]
}

export interface Control {
  open(): boolean
  /**
   * `words` are names and numbers, nothing that a shell would expand. Rejects with ShellCut if the shell is cut, or silent for `boundMs`; without
   * a bound it waits until the shell is cut.
   */
  ask(words: readonly (string | number)[], boundMs?: number): Promise<Answer>
  destroy(): void
}

/** Enough for a list of many attempts, or a note. */
const maxDataLines = 10_000
const maxLineBytes = 64 * 1024
/** While a question waits without a bound, the control shell is pinged this often, since a half-open stream would keep it waiting for ever. */
const pingEveryMs = 15_000
const pingBoundMs = 10_000

interface Question {
  readonly data: string[]
  readonly resolve: (answer: Answer) => void
  readonly reject: (cause: ShellCut) => void
}

export async function openControl(session: Session): Promise<Control> {
  session.send('rdev_control')
  await session.line()
  const questions = new Map<string, Question>()
  let next = 1
  let patient = 0
  let ping: NodeJS.Timeout | undefined

  const hear = (line: string): void => {
    const [, id, status, rest] = /^(\d+) (\S+) ?(.*)$/s.exec(line) ?? []
    const question = id === undefined ? undefined : questions.get(id)
    if (id === undefined || status === undefined || rest === undefined || !question) return
    if (status !== '=') {
      questions.delete(id)
      question.resolve({ status, rest, data: question.data })
    } else if (question.data.length < maxDataLines) question.data.push(rest)
  }

  const cut = (what: string): void => {
    clearTimeout(ping)
    session.destroy()
    for (const question of questions.values()) question.reject(new ShellCut(session.pod, what))
    questions.clear()
  }

  const listen = async (): Promise<void> => {
    let rest: Buffer = Buffer.alloc(0)
    while (session.open()) {
      const chunk: Buffer | null = session.shell.stdout.read()
      if (!chunk) {
        // Its stderr has only messages of tools. They are read and dropped: a full pipe would stop the shell.
        session.shell.stderr.read()
        if (session.shell.stdout.readableEnded) break
        await session.signal.wait()
        continue
      }
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let end = rest.indexOf(10)
      let start = 0
      for (; end >= 0; end = rest.indexOf(10, start)) {
        hear(rest.toString('utf8', start, end))
        start = end + 1
      }
      rest = rest.subarray(start)
      if (rest.length > maxLineBytes) break
    }
    cut('cut')
  }
  void listen()

  const ask = (words: readonly (string | number)[], boundMs?: number): Promise<Answer> => {
    if (!session.open()) return Promise.reject(new ShellCut(session.pod, 'cut'))
    const id = String(next++)
    const answer = new Promise<Answer>((resolve, reject) => questions.set(id, { data: [], resolve, reject }))
    session.shell.stdin.write(`${id} ${words.join(' ')}\n`)
    if (boundMs === undefined) {
      patient++
      keepAlive()
      return answer.finally(() => patient--)
    }
    const timer = setTimeout(() => cut(`silent for ${boundMs} ms`), boundMs)
    return answer.finally(() => clearTimeout(timer))
  }

  const keepAlive = (): void => {
    ping ??= setTimeout(() => {
      ping = undefined
      if (patient === 0 || !session.open()) return
      ask(['touch'], pingBoundMs).then(keepAlive, () => {})
    }, pingEveryMs)
  }

  return { open: session.open, ask, destroy: () => cut('closed') }
}
