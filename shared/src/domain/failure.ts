/**
 * Why a question to a store was not answered. `away`: it may be answered later. The others are refusals, and asking again gives the same:
 * `data`: never with these values; `statement`: never by this version of the program.
 */
export type Failure = 'away' | 'data' | 'statement'
