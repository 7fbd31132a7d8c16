import type { ClientBase } from 'pg'
import { bounded } from '../../bounded-query.js'
import { mayPass } from '../../database-errors.js'
import { SyncError } from '../../errors.js'
import { type Lsn, parseLsn } from '../../lsn.js'
import { codeOf } from './stream-errors.js'

/** A replication slot, as `pg_replication_slots` shows it. */
export interface SlotState {
  readonly name: string
  readonly type: 'logical' | 'physical'
  /** `null` for a physical slot. */
  readonly plugin: string | null
  readonly database: string | null
  readonly active: boolean
  readonly activePid: number | null
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | null
  /** Why the server has given the slot up; PostgreSQL 17 and newer. */
  readonly invalidationReason: string | null
  readonly confirmedFlushLsn: Lsn | null
  readonly restartLsn: Lsn | null
  /** WAL that the server keeps for the slot. */
  readonly retainedBytes: number | null
  /** WAL that the slot has not confirmed. */
  readonly lagBytes: number | null
  /** How much more may be written before the slot is lost; `null` when `max_slot_wal_keep_size` sets no limit. */
  readonly safeWalSizeBytes: number | null
}

/** A look costs next to nothing. */
const lookTimeoutMs = 10_000

interface SlotRow {
  slot_type: 'logical' | 'physical'
  plugin: string | null
  database: string | null
  active: boolean
  active_pid: number | null
  wal_status: string | null
  invalidation_reason: string | null
  confirmed_flush_lsn: string | null
  restart_lsn: string | null
  safe_wal_size: string | null
  retained_bytes: string | null
  lag_bytes: string | null
}

/** The slot, or `null` when there is none of that name. */
export async function inspectSlot(client: ClientBase, name: string): Promise<SlotState | null> {
  // Columns that not every version has are taken out of the row's JSON.
  const text = `SELECT slot_type, plugin, database, active, active_pid, confirmed_flush_lsn, restart_lsn,
            row->>'wal_status' AS wal_status, row->>'invalidation_reason' AS invalidation_reason,
            row->>'safe_wal_size' AS safe_wal_size,
            pg_catalog.pg_wal_lsn_diff(written, restart_lsn)::text AS retained_bytes,
            pg_catalog.pg_wal_lsn_diff(written, confirmed_flush_lsn)::text AS lag_bytes
       FROM pg_catalog.pg_replication_slots AS slot,
            LATERAL (SELECT pg_catalog.to_jsonb(slot) AS row,
                            CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                                 ELSE pg_catalog.pg_current_wal_lsn() END AS written) AS more
      WHERE slot_name = $1`
  const { rows } = await client.query<SlotRow>(bounded({ text, values: [name] }, lookTimeoutMs))
  const [row] = rows
  if (row === undefined) return null
  return {
    name,
    type: row.slot_type,
    plugin: row.plugin,
    database: row.database,
    active: row.active,
    activePid: row.active_pid,
    walStatus: row.wal_status,
    invalidationReason: row.invalidation_reason,
    confirmedFlushLsn: row.confirmed_flush_lsn === null ? null : parseLsn(row.confirmed_flush_lsn),
    restartLsn: row.restart_lsn === null ? null : parseLsn(row.restart_lsn),
    retainedBytes: numberOrNull(row.retained_bytes),
    lagBytes: numberOrNull(row.lag_bytes),
    safeWalSizeBytes: numberOrNull(row.safe_wal_size),
  }
}

/** What keeps the slot from being read from `database`, or `null`. An active slot is a problem like any other. */
export function slotProblem(name: string, slot: SlotState | null, database: string): SyncError | null {
  if (slot === null) {
    return new SyncError('SLOT_MISSING', `The replication slot "${name}" does not exist`, {
      hint: 'Run `safetykit-sync migrate`; what was written in between is found by a scan.',
    })
  }
  const foreign =
    slot.type === 'physical'
      ? 'is physical'
      : slot.plugin !== 'pgoutput'
        ? `belongs to the plugin ${slot.plugin}`
        : slot.database !== database
          ? `belongs to the database "${slot.database}"`
          : null
  if (foreign !== null) {
    return new SyncError('SLOT_FOREIGN', `The replication slot "${name}" ${foreign}`, {
      hint: 'Choose another name for the slot (`slot.name`) and run `safetykit-sync migrate`.',
    })
  }
  // A slot that was invalidated before PostgreSQL 13 shows it only by having no restart_lsn.
  if (slot.walStatus === 'lost' || slot.invalidationReason !== null || slot.restartLsn === null) {
    const reason = slot.invalidationReason === null ? '' : ` (${slot.invalidationReason})`
    return new SyncError('SLOT_LOST', `The server has invalidated the replication slot "${name}"${reason}`, {
      hint: `SELECT pg_drop_replication_slot('${name}'); then run \`safetykit-sync migrate\`; what was written in between is found by a scan. A larger max_slot_wal_keep_size keeps it from happening again.`,
    })
  }
  if (slot.active) {
    return new SyncError('SLOT_IN_USE', `The process ${slot.activePid} reads from the replication slot "${name}"`, {
      hint: `Stop the other sidecar; or, if it is gone: SELECT pg_terminate_backend(${slot.activePid});`,
      retryable: true,
    })
  }
  return null
}

/** The slot, fit to be read from this client's database; otherwise throws `slotProblem`. */
export async function checkSlot(client: ClientBase, name: string): Promise<SlotState> {
  const slot = await inspectSlot(client, name)
  const problem = slotProblem(name, slot, await currentDatabase(client))
  if (problem !== null || slot === null) throw problem
  return slot
}

export interface CreateSlotOptions {
  /** How long to wait for the transactions that run now: the slot begins after them. Default: 60,000. */
  readonly timeoutMs?: number
}

/**
 * Creates the slot, and returns `false` where a fit one is there already (an active one is fit). Make the publication
 * first: a slot that is older than its publication cannot be read up to PostgreSQL 17, and skips rows after.
 */
export async function createSlot(client: ClientBase, name: string, options: CreateSlotOptions = {}): Promise<boolean> {
  const timeoutMs = options.timeoutMs ?? 60_000
  const slot = await inspectSlot(client, name)
  const problem = slotProblem(name, slot, await currentDatabase(client))
  if (problem === null || problem.code === 'SLOT_IN_USE') return false
  if (problem.code !== 'SLOT_MISSING') throw problem
  try {
    await client.query('BEGIN')
    await client.query(`SET LOCAL statement_timeout = ${Math.floor(timeoutMs)}`)
    const { rows } = await client.query<{ versionNum: number }>(
      `SELECT current_setting('server_version_num')::int AS "versionNum"`,
    )
    // From 17 on, standbys that keep copies of slots keep one of this too, and it outlives a failover.
    const failover = (rows[0]?.versionNum ?? 0) >= 170_000 ? ', failover => true' : ''
    await client.query(`SELECT pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput'${failover})`, [name])
    await client.query('COMMIT')
    return true
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    if (codeOf(error) === '42710') return createSlot(client, name, options)
    throw createProblem(error, name)
  }
}

/** Drops a slot that nobody reads. @throws {SyncError} `SLOT_IN_USE`, retryable, where someone still does. */
export async function dropSlot(client: ClientBase, name: string): Promise<void> {
  try {
    await client.query('SELECT pg_catalog.pg_drop_replication_slot($1)', [name])
  } catch (error) {
    if (codeOf(error) === '42704') return
    if (codeOf(error) !== '55006') throw error
    const message = `The replication slot "${name}" is still being read from`
    throw new SyncError('SLOT_IN_USE', message, { retryable: true, cause: error })
  }
}

function createProblem(error: unknown, name: string): SyncError {
  const hints: Readonly<Record<string, string>> = {
    '42501': 'ALTER ROLE … REPLICATION; for the role of the database URL.',
    '53400': 'Raise max_replication_slots and restart Postgres, or drop a slot that nobody reads.',
    '55000': 'ALTER SYSTEM SET wal_level = logical; then restart Postgres.',
    '57014':
      'A transaction runs for long, and a slot begins after it: SELECT pid, xact_start FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start;',
  }
  const code = codeOf(error) ?? ''
  return new SyncError('DATABASE_UNFIT', `The replication slot "${name}" could not be created`, {
    hint: hints[code],
    // With a slot too few, someone has to do something.
    retryable: code === '57014' || (code !== '53400' && mayPass(error)),
    cause: error,
  })
}

async function currentDatabase(client: ClientBase): Promise<string> {
  const { rows } = await client.query<{ name: string }>('SELECT pg_catalog.current_database() AS name')
  return rows[0]?.name ?? ''
}

function numberOrNull(text: string | null): number | null {
  return text === null ? null : Number(text)
}
