import pg from 'pg'
import type { KnownObject, LedgerPort, Records } from '../delivery/ports.js'
import { parseLsn } from '../lsn.js'
import type { Meter } from '../meter.js'
import { traced } from '../tracing.js'
import { type Queryable, textArray } from './postgres.js'
import { Recording } from './record.js'

/** The side tables, as the delivery and the pipeline use them. Every method is one transaction. */
export class Ledger implements LedgerPort {
  readonly #pool: Queryable
  readonly #schema: string
  readonly #recording: Recording
  readonly #lookup: string
  readonly #meter: Meter | undefined

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly pool: Queryable; readonly schema: string; readonly meter?: Meter | undefined }) {
    this.#pool = options.pool
    this.#meter = options.meter
    this.#schema = pg.escapeIdentifier(options.schema)
    this.#recording = new Recording(this.#schema)
    this.#lookup = `SELECT object_id, state, request_id, fingerprint, lsn::text, attempts FROM ${this.#schema}.objects
      WHERE namespace = $1 AND object_id = ANY($2::text[])`
  }

  async lookup(namespace: string, ids: readonly string[]): Promise<readonly (KnownObject | null)[]> {
    const values = [namespace, textArray(ids)]
    const { rows } = await this.#pool.query({ name: 'safetykit_lookup', text: this.#lookup, values })
    if (rows.length === 0) return ids.map(() => null)
    const known = new Map(rows.map((row) => [String(row.object_id), knownObject(row)]))
    return ids.map((id) => known.get(id) ?? null)
  }

  record(records: Records): Promise<void> {
    const attributes = {
      'safetykit.requests': records.receipts.length,
      'safetykit.objects': records.receipts.reduce((sum, { objects }) => sum + objects.length, 0),
      'safetykit.parked': records.parked.length,
      'safetykit.deferred': records.deferred.length,
    }
    return traced('safetykit.record', { root: true, attributes }, async () => {
      const startedMs = performance.now()
      const told = (outcome: 'committed' | 'failed'): void =>
        this.#meter?.recorded({ outcome, seconds: (performance.now() - startedMs) / 1_000 })
      try {
        await this.#recording.write(this.#pool, records)
      } catch (error) {
        told('failed')
        throw error
      }
      told('committed')
    })
  }

  /**
   * Moves the keys of parked objects whose time has come into `dirty`, the longest due first, so that they come again like
   * any other change. Several processes may do so at once. Returns how many objects were due.
   */
  async requeueDue(
    of: readonly { readonly source: string; readonly namespace: string }[],
    limit: number,
  ): Promise<number> {
    const { rows } = await this.#pool.query(
      `WITH due AS (
         SELECT namespace, object_id FROM ${this.#schema}.objects
         WHERE state = 'parked' AND retry_at <= now()
           AND (source, namespace) IN (SELECT * FROM unnest($1::text[], $2::text[]))
         ORDER BY retry_at LIMIT $3 FOR UPDATE SKIP LOCKED
       ), taken AS (
         UPDATE ${this.#schema}.objects AS o SET retry_at = NULL FROM due
         WHERE o.namespace = due.namespace AND o.object_id = due.object_id
         RETURNING o.source, o.key, coalesce((o.error->>'inDoubt')::boolean, false) AS in_doubt
       ), marked AS (
         INSERT INTO ${this.#schema}.dirty (source, key, force)
         SELECT source, key, bool_or(in_doubt) FROM taken WHERE key IS NOT NULL GROUP BY source, key
       )
       SELECT count(*) AS due FROM taken`,
      [of.map(({ source }) => source), of.map(({ namespace }) => namespace), limit],
    )
    return Number(rows[0]?.due ?? 0)
  }

  /** Fingerprints of the settings that were pushed, by namespace. */
  async pushedSettings(): Promise<ReadonlyMap<string, string>> {
    const { rows } = await this.#pool.query(`SELECT namespace, fingerprint FROM ${this.#schema}.settings`)
    return new Map(rows.map((row) => [String(row.namespace), String(row.fingerprint)]))
  }

  async recordSettings(namespace: string, fingerprint: string): Promise<void> {
    await this.#pool.query(
      `INSERT INTO ${this.#schema}.settings (namespace, fingerprint, pushed_at) VALUES ($1, $2, now())
       ON CONFLICT (namespace) DO UPDATE SET fingerprint = excluded.fingerprint, pushed_at = excluded.pushed_at`,
      [namespace, fingerprint],
    )
  }

  /** How far an earlier process of this name may have sent; 0 where it ended in order. */
  async horizon(name: string): Promise<bigint> {
    const { rows } = await this.#pool.query(`SELECT through FROM ${this.#schema}.horizons WHERE name = $1`, [name])
    return BigInt(String(rows[0]?.through ?? 0))
  }

  /** Moves it ahead, never back: a statement that was late must not undo that of the process which has taken over. */
  async raiseHorizon(name: string, through: bigint): Promise<void> {
    await this.#pool.query(
      `INSERT INTO ${this.#schema}.horizons AS h (name, through, updated_at) VALUES ($1, $2, now())
       ON CONFLICT (name) DO UPDATE SET through = greatest(h.through, excluded.through), updated_at = excluded.updated_at`,
      [name, String(through)],
    )
  }

  async setHorizon(name: string, through: bigint): Promise<void> {
    await this.#pool.query(
      `INSERT INTO ${this.#schema}.horizons (name, through, updated_at) VALUES ($1, $2, now())
       ON CONFLICT (name) DO UPDATE SET through = excluded.through, updated_at = excluded.updated_at`,
      [name, String(through)],
    )
  }
}

/** `pg` hands out `pg_lsn` and `jsonb` by its defaults: text, and a parsed value. */
function knownObject(row: Record<string, unknown>): KnownObject {
  const text = (column: string): string | null => (row[column] === null ? null : String(row[column]))
  const lsn = text('lsn')
  return {
    state: row.state as KnownObject['state'],
    requestId: text('request_id'),
    fingerprint: text('fingerprint'),
    lsn: lsn === null ? null : parseLsn(lsn),
    attempts: Number(row.attempts),
  }
}
