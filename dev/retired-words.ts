// Words that this house gave up, each with what to say instead (docs/glossary.md has the words that stay). One word, one meaning:
// a second word for a thing makes the reader look for a second thing. words.test.ts keeps them out of code and comments.

export interface RetiredWord {
  /** In lower case; a name such as `isHomeless` or `fail_homeless` is read as its words. More than one word is a phrase. */
  readonly words: readonly string[]
  readonly say: string
  /** Phrases in which the word has another meaning, in lower case. */
  readonly except?: readonly string[]
  /** Files (their beginnings) where it is somebody else's word. */
  readonly exceptIn?: readonly string[]
}

export const retiredWords: readonly RetiredWord[] = [
  { words: ['bell', 'bells'], say: 'signal' },
  { words: ['tell later'], say: 'waitUntil' },
  { words: ['job', 'jobs'], say: 'task', exceptIn: ['bench/', 'simulation/', 'cluster-agent/src/pods/'] },
  { words: ['work item', 'work items'], say: 'task' },
  { words: ['utils', 'helper', 'helpers', 'manager'], say: 'what it does', except: ['package manager'], exceptIn: ['bench/'] },
]

/** Not clean yet: to be moved above as soon as nothing says them any more. */
export const wordsOnTheirWayOut: readonly RetiredWord[] = [
  { words: ['news'], say: 'what it is (a frame, a report); what connections of an agent share is the reconnect group' },
  { words: ['hearsay'], say: 'the reason: what is cached may be stale' },
  { words: ['wish', 'wishes', 'wished'], say: 'cancel request' },
  { words: ['survey', 'surveys'], say: 'inspect queue' },
  { words: ['greet', 'greets', 'greeted', 'greeting'], say: 'reconcile (the hub); first frame (a socket)', exceptIn: ['e2e/04-'] },
  { words: ['seat', 'seats', 'seating'], say: 'slot' },
  // `no_place` is a published word of the API.
  {
    words: ['places', 'free place', 'next place', 'pool place', 'one place'],
    say: 'slot',
    except: ['no place', 'million places', 'this one place'],
  },
  { words: ['homeless'], say: 'bound to a missing pod' },
  { words: ['heard', 'hears'], say: 'received, recorded' },
  { words: ['log line', 'log lines'], say: 'log entry (a stored event); output line (a line of text)' },
  { words: ['grant', 'grants'], say: 'key rights', exceptIn: ['e2e/cluster/'] },
]
