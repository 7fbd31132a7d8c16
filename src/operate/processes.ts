import type { ClientBase } from 'pg'

/** A process that delivers, or did lately. */
export interface ProcessReport {
  /** `standby`, `connecting`, `streaming`, `stalled`, `spilling`, `working` or `starting`. */
  readonly state: string
  /** Seconds in this state. */
  readonly forSeconds: number
  /** Seconds since it was last heard of. */
  readonly heardSeconds: number
  /** Whether it was heard of as lately as one that runs is; else it was killed, is frozen, or cannot reach the side tables. */
  readonly heard: boolean
  readonly slot: string | null
  /** How long the last heartbeat took through the WAL and back. */
  readonly roundTripMs: number | null
}

const mostShown = 20

/** Those that have not ended in order and were heard of within a day. @param schema the side tables', quoted. */
export async function readProcesses(
  ledger: ClientBase,
  schema: string,
  everyMs: number,
): Promise<readonly ProcessReport[]> {
  const { rows } = await ledger.query<Omit<ProcessReport, 'heard'>>(
    `SELECT state, slot, round_trip_ms AS "roundTripMs",
       greatest(0, extract(epoch FROM clock_timestamp() - since))::float8 AS "forSeconds",
       greatest(0, extract(epoch FROM clock_timestamp() - beat_at))::float8 AS "heardSeconds"
     FROM ${schema}.heartbeats
     WHERE state <> 'stopped' AND beat_at > clock_timestamp() - interval '1 day'
     ORDER BY beat_at > clock_timestamp() - $1::float8 * interval '1 millisecond' DESC, started_at LIMIT ${mostShown}`,
    [everyMs * 3],
  )
  return rows.map((row) => ({ ...row, heard: row.heardSeconds * 1_000 <= everyMs * 3 }))
}
