/** RFC 3339 with milliseconds, UTC: how every instant is told to clients. */
export const instant = (ms: number): string => new Date(ms).toISOString()
