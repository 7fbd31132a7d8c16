import { setTimeout as wait } from 'node:timers/promises'
import type { ClientBase } from 'pg'
import { backoffMs } from '../../backoff.js'
import { SyncError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import { partitionTree } from '../../partition-tree.js'

export interface LockOptions {
  /** How long an attempt stands in the queue for a table: writers that come meanwhile stand behind it. Default: 200. */
  readonly lockTimeoutMs?: number
  /** How long all attempts for one table may take together. Default: 300,000. */
  readonly totalWaitMs?: number
  readonly logger: Logger
}

/** A table that has to be locked. */
export interface LockedTable {
  /** As the user writes it. */
  readonly table: string
  /** For SQL. */
  readonly sqlName: string
  readonly oid: string
}

/** A lock that does not come (of a statement, or of all partitions together), a deadlock, two who change the same. */
const passing = new Set(['55P03', '57014', '40P01', '40001', 'XX000', '23505', '42710'])

/** Holds against the other processes that make triggers. */
const advisoryLock = 'SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))'

/**
 * Runs `work` in a transaction, again and again until it is not stopped by a lock. The work is to take its lock by
 * {@link lockTable}, and to have looked before what is to be done.
 * @throws {SyncError} `TABLE_BUSY` when the time is up.
 */
export async function untilLocked<T>(
  client: ClientBase,
  key: string,
  work: (busy: (table: LockedTable) => void) => Promise<T>,
  options: LockOptions,
): Promise<T> {
  const { totalWaitMs = 300_000, logger } = options
  const deadline = performance.now() + totalWaitMs
  for (let attempt = 0; ; attempt += 1) {
    let waitsFor: LockedTable | null = null
    await client.query('BEGIN')
    try {
      await client.query(advisoryLock, [key])
      const result = await work((table) => {
        waitsFor = table
      })
      await client.query('COMMIT')
      return result
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {})
      const table = waitsFor as LockedTable | null
      if (table === null || !passing.has(codeOf(error))) throw error
      if (performance.now() >= deadline) throw tableBusy(table, error)
      if (attempt === 0) await tellWhoHolds(client, table, logger)
    }
    // Not less than the lock's own time: in the pauses the writers that stood behind it get through.
    const pause = 200 + backoffMs(attempt, { baseMs: 200, maxMs: 5_000 }, Math.random)
    await wait(Math.min(pause, Math.max(0, deadline - performance.now())))
  }
}

/**
 * Takes the lock, on the partitions too, or fails within the time: a statement that waits for it keeps all that come after
 * it waiting as well.
 * @param mode of the statements that follow: they then wait for nobody.
 */
export async function lockTable(
  client: ClientBase,
  table: LockedTable,
  mode: 'SHARE ROW EXCLUSIVE' | 'ACCESS EXCLUSIVE',
  { lockTimeoutMs = 200 }: LockOptions,
): Promise<void> {
  const ms = Math.max(1, Math.floor(lockTimeoutMs))
  await client.query(`SET LOCAL lock_timeout = ${ms}; SET LOCAL statement_timeout = ${ms}`)
  await client.query(`LOCK TABLE ${table.sqlName} IN ${mode} MODE`)
  await client.query('SET LOCAL statement_timeout = 0')
}

const holdersSql = `SELECT l.pid, a.state, a.application_name AS application, a.xact_start AS "since"
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND l.relation IN (SELECT tree.relid FROM ${partitionTree('SELECT $1::oid')} tree)
   AND l.granted AND l.pid <> pg_catalog.pg_backend_pid() AND l.mode <> 'AccessShareLock'
 ORDER BY a.xact_start NULLS LAST LIMIT 1`

async function tellWhoHolds(client: ClientBase, { table, oid }: LockedTable, logger: Logger): Promise<void> {
  const { rows } = await client.query<{ pid: number; state: string | null; application: string | null; since: Date }>(
    holdersSql,
    [oid],
  )
  logger.warn('A table is in use, waiting for a moment without writers to change its triggers', { table, ...rows[0] })
}

function tableBusy({ table, sqlName }: LockedTable, cause: unknown): SyncError {
  return new SyncError(
    'TABLE_BUSY',
    `The table ${table} was in use all the time, so that its triggers could not be changed`,
    {
      hint: `End the transactions that hold it, and run safetykit-sync migrate again:
SELECT a.pid, a.state, a.xact_start, a.query FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE l.relation = '${sqlName.replaceAll("'", "''")}'::regclass AND l.granted ORDER BY a.xact_start;
SELECT pg_terminate_backend(…);`,
      retryable: true,
      cause,
    },
  )
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
