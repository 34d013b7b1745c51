// Limits and timeouts that several modules must agree on. A limit that only one machine knows stays in that machine.

/** A leased or running attempt belongs to its cluster for so long without a renewal. */
export const leaseMs = 60_000
/** The hub renews all live leases so often: three renewals fit into one lease. */
export const sweepEveryMs = 20_000

/** The key of an open socket is judged again when something happens on it and the last time is so long ago; at most 60 s are promised. */
export const judgeKeyEveryMs = 15_000
/** What comes on a line whose key was not judged for so long waits until it is. */
export const keyJudgedForMs = 45_000
/** After a judgement that failed, because the database is away, the next one is asked for so much later. */
export const judgeAgainMs = 5_000

/** A process without an agent is ended by its own supervisor after this. Configurable in the agent; supervisor.sh has the same default. */
export const orphanTtlS = 30 * 60
/** The supervisor looks so often whether an agent is there. */
export const supervisorBeatMs = 3_000
/** So long after its lease ended, an attempt without agent has surely been ended by its supervisor: orphan TTL, two beats, and a minute. */
export const orphanMs = orphanTtlS * 1000 + 2 * supervisorBeatMs + 60_000

/** What a process gets to end in peace, from the first signal to the last, when nobody chose: for a cancel, a timeout and a stop. */
export const cancelGraceS = 10

/**
 * The supervisor ends its process at the time limit, if the task has left it alive. So long after it the agent ends the process itself.
 */
export const ceilingGraceMs = 60_000
/**
 * So long after that an attempt whose pod tells neither its start nor its end is given up by its agent. A pod that cannot be reached, but comes
 * back before, still tells its result.
 */
export const giveUpMs = 30 * 60_000
/** So long after its time limit the hub ends an attempt of which its agent tells no end: both of the above, and as much again. */
export const hubCeilingMs = 2 * (ceilingGraceMs + giveUpMs)

/**
 * An event as one line of a stream: an SSE `data` line, an NDJSON line. Common line readers stop at 64 KiB, with an error that loses what follows
 * (Go's bufio.Scanner and two of three Go clients). A longer event is told in several.
 */
export const maxLineBytes = 60 * 1024
/** What is left for its data beside seq, type, time, task, attempt and the format's own characters. */
export const maxDataBytes = maxLineBytes - 512

/** An outcome names at most this many denied tools; names are cut at the other limit. An agent has few, and the row is kept for ever. */
export const maxDeniedTools = 64
export const maxToolNameChars = 128

/** A single event's data is cut above this many bytes of JSON, with a marker that says how much is missing. */
export const maxEventBytes = 256 * 1024
/** Of one text of a code agent in an event, as JSON: with its neighbours it stays below `maxEventBytes`. */
export const maxEventTextBytes = 160 * 1024
/** Of a result's text: it travels in one frame, together with little else, and waits in a cursor until it is stored. */
export const maxResultTextBytes = 128 * 1024

/** Tasks that one statement ends, of those that waited too long and of those bound to a missing pod. */
export const maxEndedAtOnce = 500
/** Names of missing pods that one look at the queue answers. */
export const maxMissingPods = 100
