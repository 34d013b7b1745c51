// Tasks of every kind, for the runs with all faults together, and what their end must be.
import type { TaskView } from '@rdev/shared/api/tasks'
import type { Ledger } from './ledger.ts'
import type { Random } from './random.ts'

export interface Mixed {
  readonly kind: string
  readonly body: Record<string, unknown>
  /** It is cancelled so long after it was accepted. */
  readonly cancelAfterMs?: number
  /** The next one continues its session. */
  readonly followUp?: Mixed
  /** Its process is a provider's program, which may sign `agents` in the ledger's folder by a tool call. */
  readonly agent: boolean
  readonly signs: boolean
  /** The problem of its end, if it has one. */
  wrong(task: TaskView): string | undefined
}

const ended =
  (status: string, more: (task: TaskView) => string | undefined = () => undefined) =>
  (task: TaskView): string | undefined =>
    task.status === status ? more(task) : `ended ${task.status} (${task.error_code}: ${task.error}), not ${status}`

export const agentsFile = (ledger: Ledger): string => `${ledger.directory}/agents`

export function mixedTasks(count: number, ledger: Ledger, random: Random): Mixed[] {
  const { scripts } = ledger
  const shell = (kind: string, command: string, wrong: Mixed['wrong'], more: Partial<Mixed> = {}): Mixed => ({
    kind,
    body: { kind: 'shell', project_id: 'demo', target: 'pool', command, timeout_s: 300 },
    agent: false,
    signs: true,
    wrong,
    ...more,
  })
  const agent = (kind: string, provider: string, prompt: string, wrong: Mixed['wrong'], body: object = {}, signs = false): Mixed => ({
    kind,
    // Some run in the project's working copy, one after another; the others at the same time.
    body: {
      kind: 'agent',
      project_id: 'demo',
      provider,
      prompt,
      timeout_s: 300,
      ...(random.chance() < 0.7 && { workspace: null }),
      ...body,
    },
    agent: true,
    signs,
    wrong,
  })
  const tool = (provider: string) =>
    agent(
      provider,
      provider,
      `[[scenario: tool]] [[command: echo "$RDEV_ATTEMPT" >> ${agentsFile(ledger)}; sleep ${Math.ceil(random.between(0, 3))}; echo done]]`,
      ended('succeeded'),
      { allowed_tools: ['Bash'] },
      true,
    )
  const session = (provider: string): Mixed => {
    const word = `kumquat${Math.floor(random.between(1_000, 9_999))}`
    const remembers = ended('succeeded', ({ result }) => (result?.includes(word) ? undefined : `does not remember ${word}: ${result}`))
    const first = agent('session', provider, `Remember the word ${word}.`, ended('succeeded'), { workspace: null })
    return { ...first, followUp: agent('session', provider, 'Which word should you remember?', remembers, { workspace: null }) }
  }
  const cancelled = (command: string) =>
    shell('cancelled', command, (task) => (['cancelled', 'succeeded'].includes(task.status) ? undefined : `ended ${task.status}`), {
      cancelAfterMs: random.between(0, 8_000),
    })

  const makers: readonly [share: number, make: () => Mixed][] = [
    [34, () => shell('counting', scripts.counting(Math.ceil(random.between(5, 80)), 0.1), ended('succeeded'))],
    [12, () => shell('chatter', scripts.chatter(Math.ceil(random.between(1, 10)), 0.4), ended('succeeded'))],
    [12, () => shell('quick', scripts.quick(), ended('succeeded'))],
    [
      8,
      () =>
        shell(
          'failing',
          scripts.quick(3),
          ended('failed', ({ exit_code }) => (exit_code === 3 ? undefined : `exit code ${exit_code}`)),
        ),
    ],
    [9, () => cancelled(scripts.counting(300, 0.1))],
    [3, () => cancelled(scripts.deaf())],
    [8, () => tool('claude-code')],
    [5, () => tool('opencode')],
    [
      4,
      () =>
        agent(
          'retrying',
          'claude-code',
          '[[scenario: empty]]',
          ended('failed', ({ attempt, error_code }) =>
            attempt === 2 && error_code === 'EMPTY_RESULT' ? undefined : `attempt ${attempt}, ${error_code}`,
          ),
          { retry: { max_attempts: 2, on: ['agent_error'] } },
        ),
    ],
    [5, () => session(random.pick(['claude-code', 'opencode']))],
  ]
  const total = makers.reduce((sum, [share]) => sum + share, 0)
  const tasks: Mixed[] = []
  for (let made = 0; made < count;) {
    let at = random.chance() * total
    const [, make] = makers.find(([share]) => (at -= share) < 0)!
    const task = make()
    tasks.push(task)
    made += task.followUp ? 2 : 1
  }
  return tasks
}
