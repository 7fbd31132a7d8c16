import type { ClientBase } from 'pg'

/** Who works the keys in `dirty`, and which tables are being scanned. */
export interface WorkReport {
  /** Workers that have something to do right now. Where capture is by replication the one sidecar is not among them. */
  readonly workers: number
  readonly scans: readonly ScanReport[]
}

export interface ScanReport {
  /** `schema.table`. */
  readonly source: string
  /** ISO 8601. */
  readonly startedAt: string
}

/** @param schema the side tables', quoted. */
export async function readWork(ledger: ClientBase, schema: string): Promise<WorkReport> {
  const { rows } = await ledger.query<{ workers: number }>(
    `SELECT count(*)::integer AS workers FROM ${schema}.leases WHERE name LIKE 'worker %' AND expires_at > clock_timestamp()`,
  )
  const { rows: scans } = await ledger.query<{ source: string; started_at: Date }>(
    `SELECT source, started_at FROM ${schema}.scans WHERE finished_at IS NULL ORDER BY started_at`,
  )
  return {
    workers: rows[0]?.workers ?? 0,
    scans: scans.map(({ source, started_at }) => ({ source, startedAt: started_at.toISOString() })),
  }
}
