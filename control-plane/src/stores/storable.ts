// Postgres holds no NUL and only well-formed Unicode. What agents and processes say may have both, so such characters are replaced on the
// way in (the task's log keeps them); a name looked up with one in it cannot exist.

export const storable = (text: string): string => text.toWellFormed().replaceAll('\u0000', '\ufffd')
export const storableOrNull = (text: string | null): string | null => (text === null ? null : storable(text))
export const isStorable = (text: string): boolean => !text.includes('\u0000') && text.isWellFormed()
