import type { ClientBase } from 'pg'
import { type Count, estimateRows } from './count.js'

/** What waits in `dirty`. */
export interface DirtyReport extends Count {
  /** The age of the oldest key, in seconds; `null` where none waits. */
  readonly oldestAgeSeconds: number | null
  /** The keys by table; where `count` is estimated, of the oldest 100,000 alone. */
  readonly bySource: readonly DirtySource[]
  /** Tables that are marked as a whole, and wait for a scan. */
  readonly wholeTables: readonly DirtySource[]
}

export interface DirtySource {
  /** `schema.table`. */
  readonly source: string
  readonly count: number
  readonly oldestAgeSeconds: number
}

const exactUpTo = 100_000

/** Reads what waits in `dirty`, the oldest first and no further than a limit. */
export async function readDirty(client: ClientBase, schema: string): Promise<DirtyReport> {
  const keys = `SELECT source, marked_at FROM ${schema}.dirty WHERE key IS NOT NULL`
  const bySource = await readSources(client, `${keys} ORDER BY seq LIMIT ${exactUpTo + 1}`)
  const marks = `SELECT source, marked_at FROM ${schema}.dirty WHERE key IS NULL`
  const wholeTables = await readSources(client, marks)
  const counted = bySource.reduce((sum, { count }) => sum + count, 0)
  const estimated = counted > exactUpTo
  return {
    count: estimated ? Math.max(counted, await estimateRows(client, keys)) : counted,
    estimated,
    oldestAgeSeconds: bySource.length === 0 ? null : Math.max(...bySource.map((one) => one.oldestAgeSeconds)),
    bySource,
    wholeTables,
  }
}

async function readSources(client: ClientBase, rowsSql: string): Promise<DirtySource[]> {
  const { rows } = await client.query<{ source: string; count: string; age: number }>(
    `SELECT source, count(*), extract(epoch FROM clock_timestamp() - min(marked_at))::float8 AS age
       FROM (${rowsSql}) AS marked GROUP BY source ORDER BY source`,
  )
  return rows.map(({ source, count, age }) => ({ source, count: Number(count), oldestAgeSeconds: Math.max(0, age) }))
}
