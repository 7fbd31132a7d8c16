import type { ClientBase } from 'pg'
import { type Count, estimateRows } from './count.js'

/** How many requests have a status. */
export interface RequestReport extends Count {
  readonly status: string
}

const exactUpTo = 500_000
const sampledRows = 100_000

/** Counts the requests by status; a large table by a sample of its pages. */
export async function readRequests(client: ClientBase, schema: string): Promise<RequestReport[]> {
  const rowsAbout = await estimateRows(client, `SELECT FROM ${schema}.requests`)
  const estimated = rowsAbout > exactUpTo
  const percent = estimated ? (100 * sampledRows) / rowsAbout : 100
  const sample = estimated ? `TABLESAMPLE SYSTEM (${percent})` : ''
  const { rows } = await client.query<{ status: string; count: string }>(
    `SELECT status, count(*) FROM ${schema}.requests ${sample} GROUP BY status ORDER BY status`,
  )
  return rows.map((row) => ({
    status: row.status,
    count: Math.round((Number(row.count) * 100) / percent),
    estimated,
  }))
}
