/**
 * A query that is given up after so long, with its connection: one whose server is gone without a word brings no answer for
 * a quarter of an hour. (The types of `pg` leave out that a query can have a time-out of its own.)
 */
export const bounded = <Query extends { readonly text: string }>(query: Query, timeoutMs: number): Query => ({
  ...query,
  query_timeout: timeoutMs,
})
