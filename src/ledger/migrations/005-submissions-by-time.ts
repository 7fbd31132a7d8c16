/**
 * Submissions by their time, in a B-tree instead of block ranges. `schema` is a quoted identifier.
 *
 * `prune` leaves room in old pages, new rows fill it, and a block range then spans from the oldest to the newest: to find one
 * request took 120 to 230 ms and half of the table (of two million rows), here 0.2 ms. Rows come in the order of the index
 * and those of a request share an entry: it takes 7 bytes a row, and 0.8 µs of an import's 6 (docs/decisions/import-journal.md).
 */
export const submissionsByTime = (schema: string): string => `
  CREATE INDEX submissions_submitted ON ${schema}.submissions (submitted_at);
  DROP INDEX ${schema}.submissions_time;
`
