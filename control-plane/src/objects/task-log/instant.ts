/** RFC 3339 in UTC with milliseconds: the form of every instant that clients see. */
export const instant = (ms: number): string => new Date(ms).toISOString()
