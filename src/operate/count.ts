import type { ClientBase } from 'pg'

/** A number of rows. Beyond a limit it is an estimate, so that asking stays cheap however large the tables are. */
export interface Count {
  readonly count: number
  readonly estimated: boolean
}

/** The planner's estimate of the rows that a query returns: from its statistics, and the table's size as it is now. */
export async function estimateRows(client: ClientBase, sql: string): Promise<number> {
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }] }>(
    `EXPLAIN (FORMAT JSON) ${sql}`,
  )
  return rows[0]?.['QUERY PLAN'][0].Plan['Plan Rows'] ?? 0
}
