import pg from 'pg'
import type { RowTable } from '../../capture/rows.js'
import type { Queryable } from '../../ledger/postgres.js'

interface Side {
  readonly pool: Queryable
  /** The side tables' schema, unquoted. */
  readonly schema: string
}

/** How many objects of a namespace the ledger has from a table. */
export async function countKnown(
  { pool, schema }: Side,
  { namespace, sources }: { readonly namespace: string; readonly sources: readonly string[] },
): Promise<number> {
  const { rows } = await pool.query(
    `SELECT count(*) AS objects FROM ${pg.escapeIdentifier(schema)}.objects WHERE namespace = $1 AND source = ANY($2::text[])`,
    [namespace, sources],
  )
  return Number(rows[0]?.objects)
}

/** How many keys of a table wait, and marks of the whole table. */
export async function countWaiting({ pool, schema }: Side, sources: readonly string[]): Promise<number> {
  const { rows } = await pool.query(
    `SELECT count(*) AS keys FROM ${pg.escapeIdentifier(schema)}.dirty WHERE source = ANY($1::text[])`,
    [sources],
  )
  return Number(rows[0]?.keys)
}

interface Plan {
  readonly Plan: { readonly 'Plan Rows': number }
}

/** How many rows the planner believes the table to have. */
export async function estimateRows(db: pg.Pool, { schema, name }: RowTable): Promise<number | null> {
  const { rows } = await db.query<{ 'QUERY PLAN': readonly Plan[] }>(
    `EXPLAIN (FORMAT JSON) SELECT FROM ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`,
  )
  return rows[0]?.['QUERY PLAN'][0]?.Plan['Plan Rows'] ?? null
}
