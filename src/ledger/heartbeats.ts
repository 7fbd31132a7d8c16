import pg, { type QueryConfig } from 'pg'
import { bounded } from '../bounded-query.js'

/** How a process stands; what a row of `heartbeats` says. */
export interface Beat {
  /** A UUID. */
  readonly process: string
  readonly state: string
  /** For how long it has been in this state. */
  readonly sinceMs: number
  readonly slot: string | null
  readonly confirmedLsn: string | null
  readonly roundTripMs: number | null
}

interface Pool {
  query(query: QueryConfig): Promise<unknown>
}

const queryTimeoutMs = 10_000

/** The rows of `heartbeats`. Times are the database's: processes' clocks differ. */
export class HeartbeatStore {
  readonly #pool: Pool
  readonly #beat: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly pool: Pool; readonly schema: string }) {
    this.#pool = options.pool
    this.#beat = `
      INSERT INTO ${pg.escapeIdentifier(options.schema)}.heartbeats
        (process, started_at, beat_at, state, since, slot, confirmed_lsn, round_trip_ms)
      VALUES ($1, clock_timestamp(), clock_timestamp(), $2, clock_timestamp() - $3::float8 * interval '1 millisecond',
        $4, $5::pg_lsn, $6)
      ON CONFLICT (process) DO UPDATE SET beat_at = excluded.beat_at, state = excluded.state, since = excluded.since,
        slot = excluded.slot, confirmed_lsn = excluded.confirmed_lsn, round_trip_ms = excluded.round_trip_ms`
  }

  async beat({ process, state, sinceMs, slot, confirmedLsn, roundTripMs }: Beat): Promise<void> {
    const values = [process, state, sinceMs, slot, confirmedLsn, roundTripMs]
    await this.#pool.query(bounded({ text: this.#beat, values }, queryTimeoutMs))
  }
}
