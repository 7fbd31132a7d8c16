import { type Lsn, parseLsn } from '../lsn.js'

/** Everything that is committed, or that a read has seen, lies before it. */
export async function walPosition(db: {
  query(text: string): Promise<{ rows: Record<string, unknown>[] }>
}): Promise<Lsn> {
  const { rows } = await db.query(
    `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
       ELSE pg_catalog.pg_current_wal_insert_lsn() END::text AS lsn`,
  )
  return parseLsn(String(rows[0]?.lsn))
}
