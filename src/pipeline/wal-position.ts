import { bounded } from '../bounded-query.js'
import { type Lsn, parseLsn } from '../lsn.js'

const timeoutMs = 10_000

/** Everything that is committed, or that a read has seen, lies before it. */
export async function walPosition(db: {
  query(query: { text: string }): Promise<{ rows: Record<string, unknown>[] }>
}): Promise<Lsn> {
  const text = `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
       ELSE pg_catalog.pg_current_wal_insert_lsn() END::text AS lsn`
  const { rows } = await db.query(bounded({ text }, timeoutMs))
  return parseLsn(String(rows[0]?.lsn))
}
