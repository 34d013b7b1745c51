// Words that this house gave up, each with what to say instead (docs/glossary.md has the words that stay). One word, one meaning:
// a reader who meets a second word for a thing looks for a second thing. words.test.ts keeps them out of code, comments and pages.

export interface RetiredWord {
  /** In lower case. A name such as `isHomeless` or `fail_homeless` is read as its words. An entry of several words is a phrase. */
  readonly words: readonly string[]
  readonly say: string
  /** Phrases in which the word has another meaning, in lower case. */
  readonly except?: readonly string[]
  /** Beginnings of the paths of files in which the word has another meaning. */
  readonly exceptIn?: readonly string[]
}

export const retiredWords: readonly RetiredWord[] = [
  { words: ['bell', 'bells'], say: 'signal' },
  { words: ['tell later'], say: 'waitUntil' },
  { words: ['job', 'jobs'], say: 'task', exceptIn: ['bench/', 'docs/bench.md', 'simulation/', 'cluster-agent/src/pods/'] },
  { words: ['work item', 'work items'], say: 'task' },
  {
    words: ['utils', 'helper', 'helpers', 'manager'],
    say: 'what it does',
    except: ['package manager', 'no `utils`, no `helpers`'],
    exceptIn: ['bench/'],
  },
  { words: ['news'], say: 'what it is (a frame, a report); what connections of an agent share is the reconnect group' },
  { words: ['hearsay'], say: 'the reason: what is cached may be stale' },
  { words: ['wish', 'wishes', 'wished'], say: 'cancel request' },
  { words: ['survey', 'surveys'], say: 'inspect queue' },
  {
    words: ['greet', 'greets', 'greeted', 'greeting'],
    say: 'reconcile (the hub); hello_sent (its link); unconfirmed (a socket)',
    // A variable of the environment in tests of commands.
    exceptIn: ['e2e/04-', 'cluster-agent/src/testing/agent.test.ts'],
  },
  { words: ['seat', 'seats', 'seating'], say: 'slot' },
  // `no_place` is a published word of the API.
  {
    words: ['places', 'free place', 'next place', 'pool place', 'one place', '1 place'],
    say: 'slot',
    except: ['no place', 'million places', 'this one place', 'in one place', 'one place in a pod where'],
  },
  { words: ['homeless'], say: 'bound to a missing pod' },
  { words: ['heard', 'hears', 'unheard'], say: 'received, recorded' },
  { words: ['log line', 'log lines'], say: 'log entry (a stored event); output line (a line of text)' },
  // The API's description of a key, which is published, has the verb.
  { words: ['grant', 'grants'], say: 'key rights', exceptIn: ['e2e/cluster/', 'shared/src/api/operations/keys.ts'] },
]
