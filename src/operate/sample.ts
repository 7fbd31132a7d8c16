import type { ClientBase } from 'pg'
import { type RefusedReport, readRefused } from './refused.js'
import { readSlot, type SlotReport } from './slot-report.js'
import { readWork, type WorkReport } from './workers.js'

/** Rows that are counted one by one; beyond, what Postgres has noted of the table. */
const exactUpTo = 20_000

/** The keys in `dirty`. */
export interface WaitingKeys {
  readonly keys: number
  /** Tables that are marked as a whole, among the oldest 20,000 entries. */
  readonly wholeTables: number
  /** 0 where nothing waits. */
  readonly oldestAgeSeconds: number
}

/** Requests that SafetyKit has not finished, or whose results were not taken yet; 20,001 stands for more. */
export interface OpenRequests {
  readonly add: number
  readonly import: number
  readonly oldestAgeSeconds: number
}

export interface RefusedObjects {
  readonly namespace: string
  readonly state: 'parked' | 'dead'
  /** Of the first 20,000. */
  readonly count: number
}

/** One part of what is measured in the databases; each is read by a few statements that cost milliseconds. */
export interface SampleParts {
  readonly dirty: WaitingKeys
  readonly refused: readonly RefusedObjects[]
  readonly due: RefusedReport
  readonly openRequests: OpenRequests
  readonly work: WorkReport
  readonly slot: SlotReport
}

/** @param schema the side tables', quoted; so below. */
export async function readWaitingKeys(ledger: ClientBase, schema: string): Promise<WaitingKeys> {
  const { rows } = await ledger.query<{ counted: number; marks: number; age: number | null; live: number }>(
    `SELECT count(*)::integer AS counted, count(*) FILTER (WHERE mark)::integer AS marks,
            extract(epoch FROM clock_timestamp() - min(marked_at))::float8 AS age,
            pg_catalog.pg_stat_get_live_tuples($1::regclass)::float8 AS live
       FROM (SELECT key IS NULL AS mark, marked_at FROM ${schema}.dirty ORDER BY seq LIMIT $2) AS oldest`,
    [`${schema}.dirty`, exactUpTo + 1],
  )
  const { counted = 0, marks = 0, age = null, live = 0 } = rows[0] ?? {}
  const all = counted > exactUpTo ? Math.max(counted, live) : counted
  return { keys: all - marks, wholeTables: marks, oldestAgeSeconds: Math.max(0, age ?? 0) }
}

export async function readRefusedObjects(ledger: ClientBase, schema: string): Promise<RefusedObjects[]> {
  const { rows } = await ledger.query<RefusedObjects>(
    `SELECT namespace, state, count(*)::integer AS count
       FROM (SELECT namespace, state FROM ${schema}.objects WHERE state IN ('parked', 'dead') LIMIT $1) AS refused
      GROUP BY namespace, state`,
    [exactUpTo],
  )
  return rows
}

export async function readOpenRequests(ledger: ClientBase, schema: string): Promise<OpenRequests> {
  const { rows } = await ledger.query<{ adds: number; imports: number; age: number | null }>(
    `SELECT count(*) FILTER (WHERE kind = 'add')::integer AS adds,
            count(*) FILTER (WHERE kind = 'import')::integer AS imports,
            extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS age
       FROM (SELECT kind, created_at FROM ${schema}.requests WHERE completed_at IS NULL
              ORDER BY updated_at LIMIT $1) AS open`,
    [exactUpTo + 1],
  )
  const { adds = 0, imports = 0, age = null } = rows[0] ?? {}
  return { add: adds, import: imports, oldestAgeSeconds: Math.max(0, age ?? 0) }
}

export { readRefused as readDue, readSlot, readWork }
