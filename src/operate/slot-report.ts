import type { ClientBase } from 'pg'
import { inspectSlot, type SlotState, slotProblem } from '../capture/replication/slot.js'
import { formatLsn } from '../lsn.js'

/**
 * What `lagSeconds` is measured by:
 *
 * - `caught-up`: a sidecar is connected and has settled all that it was sent; or nothing of the WAL is left. 0.
 * - `replay-lag`: a sidecar is connected: how long ago the server sent the oldest change that is not settled.
 * - `inactive-since`: no sidecar is connected: for how long (PostgreSQL 17 and newer).
 * - `last-acceptance`: no sidecar is connected: how long ago the last request was accepted (before PostgreSQL 17).
 */
export type LagBasis = 'caught-up' | 'replay-lag' | 'inactive-since' | 'last-acceptance'

/** The replication slot and how far behind its reader is. */
export interface SlotReport {
  readonly name: string
  /** Whether a sidecar reads from it now. */
  readonly active: boolean
  readonly activePid: number | null
  /** `reserved`, `extended`, `unreserved` or `lost`: whether the server still has what the slot needs. */
  readonly walStatus: string | null
  readonly confirmedFlushLsn: string | null
  /** WAL written since `confirmed_flush_lsn`, of all databases of the server. */
  readonly lagBytes: number | null
  readonly lagSeconds: number | null
  /** The server has not sent all yet: what waits there is older than `lagSeconds`. */
  readonly lagSecondsAtLeast: boolean
  /** `null` where `lagSeconds` is. */
  readonly lagBasis: LagBasis | null
  /** WAL that the server keeps for the slot, on its disk. */
  readonly retainedBytes: number | null
  /** How much more may be written before the slot is lost; `null` without `max_slot_wal_keep_size`. */
  readonly safeWalSizeBytes: number | null
  /** Why no sidecar can read from it: it is missing, lost or foreign. */
  readonly problem: { readonly code: string; readonly message: string; readonly hint: string | null } | null
}

/** Reads the slot. @param schema the side tables', quoted. */
export async function readSlot(
  source: ClientBase,
  name: string,
  ledger: ClientBase,
  schema: string,
): Promise<SlotReport> {
  const slot = await inspectSlot(source, name)
  const { rows } = await source.query<{ database: string }>('SELECT pg_catalog.current_database() AS database')
  const problem = slotProblem(name, slot, rows[0]?.database ?? '')
  const lag = slot === null ? unknown : await readLag(source, slot, () => secondsSinceAcceptance(ledger, schema))
  return {
    name,
    active: slot?.active ?? false,
    activePid: slot?.activePid ?? null,
    walStatus: slot?.walStatus ?? null,
    confirmedFlushLsn: slot === null || slot.confirmedFlushLsn === null ? null : formatLsn(slot.confirmedFlushLsn),
    lagBytes: slot?.lagBytes ?? null,
    lagSeconds: lag.seconds,
    lagSecondsAtLeast: lag.atLeast,
    lagBasis: lag.basis,
    retainedBytes: slot?.retainedBytes ?? null,
    safeWalSizeBytes: slot?.safeWalSizeBytes ?? null,
    // In use is how it should be.
    problem:
      problem === null || problem.code === 'SLOT_IN_USE'
        ? null
        : { code: problem.code, message: problem.message, hint: problem.hint ?? null },
  }
}

interface Lag {
  readonly seconds: number | null
  readonly atLeast: boolean
  readonly basis: LagBasis | null
}

const unknown: Lag = { seconds: null, atLeast: false, basis: null }
const caughtUp: Lag = { seconds: 0, atLeast: false, basis: 'caught-up' }

/** Less than this is on its way at any moment under load: a WAL segment. */
const unsentBytesUnderLoad = 16 * 1024 * 1024

async function readLag(
  source: ClientBase,
  slot: SlotState,
  sinceAcceptance: () => Promise<number | null>,
): Promise<Lag> {
  // The lag is as of the reader's last reply, and a reader that is stuck has not moved since: so the time since is added.
  const { rows } = await source.query<{
    inactive_seconds: number | null
    state: string | null
    settled: boolean | null
    replay_seconds: number | null
    unsent_bytes: number | null
  }>(
    `SELECT extract(epoch FROM clock_timestamp() - (to_jsonb(slot)->>'inactive_since')::timestamptz)::float8
              AS inactive_seconds,
            sender.state, sender.replay_lsn >= sender.sent_lsn AS settled,
            extract(epoch FROM sender.replay_lag + (clock_timestamp() - sender.reply_time))::float8 AS replay_seconds,
            (slot.confirmed_flush_lsn - sender.sent_lsn + $2::numeric)::float8 AS unsent_bytes
       FROM pg_catalog.pg_replication_slots AS slot
       LEFT JOIN pg_catalog.pg_stat_replication AS sender ON sender.pid = slot.active_pid
      WHERE slot_name = $1`,
    [slot.name, slot.lagBytes],
  )
  const [row] = rows
  if (row === undefined) return unknown
  if (slot.active) {
    // Without pg_read_all_stats (of pg_monitor) the state is hidden even from the role that reads.
    if (slot.lagBytes === 0 || (row.state === 'streaming' && row.settled === true)) return caughtUp
    if (row.replay_seconds === null) return unknown
    const atLeast = (row.unsent_bytes ?? 0) > unsentBytesUnderLoad
    return { seconds: Math.max(0, row.replay_seconds), atLeast, basis: 'replay-lag' }
  }
  if (slot.lagBytes === 0) return caughtUp
  if (row.inactive_seconds !== null) {
    return { seconds: Math.max(0, row.inactive_seconds), atLeast: false, basis: 'inactive-since' }
  }
  const seconds = await sinceAcceptance()
  return seconds === null ? unknown : { seconds, atLeast: false, basis: 'last-acceptance' }
}

async function secondsSinceAcceptance(ledger: ClientBase, schema: string): Promise<number | null> {
  const { rows } = await ledger.query<{ seconds: number | null }>(
    `SELECT extract(epoch FROM clock_timestamp() - max(created_at))::float8 AS seconds FROM ${schema}.requests`,
  )
  const seconds = rows[0]?.seconds ?? null
  return seconds === null ? null : Math.max(0, seconds)
}
