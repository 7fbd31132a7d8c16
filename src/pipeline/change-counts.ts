/** What came in by each door, counted since the start. Plain numbers: a row costs an increment. */
export interface ChangeCounts {
  /** Rows of the WAL, by what was done to them. */
  insert: number
  update: number
  delete: number
  /** Truncations of mapped tables. */
  truncate: number
  /** Keys that were taken from `dirty`. */
  key: number
  scan: {
    rows: number
    /** Those that were not in step, and were put into `dirty`. */
    differing: number
    /** Scans that came to their end. */
    finished: number
  }
}

export const noChanges = (): ChangeCounts => ({
  insert: 0,
  update: 0,
  delete: 0,
  truncate: 0,
  key: 0,
  scan: { rows: 0, differing: 0, finished: 0 },
})
