/** The projects a caller may see; null: all. Every read by id takes it, so that another tenant's object is simply not there. */
export type ProjectFilter = readonly string[] | null
