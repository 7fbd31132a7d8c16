import { SyncError } from '../errors.js'
import { type Lsn, parseLsn } from '../lsn.js'
import { walPosition } from '../pipeline/wal-position.js'

interface Database {
  query(query: { text: string; values?: unknown[] }): Promise<{ rows: Record<string, unknown>[] }>
}

/** Whether the sidecar has confirmed everything that was committed at the first call. */
export function slotPassing(db: Database, slot: string): () => Promise<boolean> {
  let target: Lsn | null = null
  return async () => {
    target ??= endOfRecord(await walPosition(db))
    const text = 'SELECT confirmed_flush_lsn::text AS at FROM pg_catalog.pg_replication_slots WHERE slot_name = $1'
    const { rows } = await db.query({ text, values: [slot] })
    if (rows.length === 0) {
      const hint = 'Run: safetykit-sync migrate'
      throw new SyncError('SLOT_MISSING', `The replication slot "${slot}" does not exist`, { hint })
    }
    return rows[0]?.at != null && parseLsn(String(rows[0].at)) >= target
  }
}

const pageBytes = 8_192n
const maxHeaderBytes = 40n

/**
 * Where the next record is to be written, Postgres names the place behind a page's header; what is confirmed ends before
 * it. Without more writes the one would never reach the other.
 */
function endOfRecord(position: Lsn): Lsn {
  const inPage = position % pageBytes
  return inPage <= maxHeaderBytes ? position - inPage : position
}
