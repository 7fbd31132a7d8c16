import pg from 'pg'
import { bounded } from '../bounded-query.js'
import type { RowKey } from '../capture/change.js'
import type { Moving } from './imports.js'
import { patientMs, type Queryable } from './postgres.js'

/** A backfill of a table, as it stands in `scans`. */
export interface BackfillRun<Cursor> {
  readonly source: string
  /** When it was started, by the database's clock. */
  readonly startedAt: string
  readonly cursor: Cursor
}

/** A key that is handed to the delivery of ongoing changes. */
export interface QueuedKey {
  readonly key: RowKey
  readonly force: boolean
}

/**
 * The rows of `scans` with the reason "backfill". Whoever writes a cursor names the one that it has read: of two processes
 * that take themselves for the one that backfills a table, only one gets on.
 */
export class BackfillStore<Cursor> {
  readonly #pool: Queryable
  readonly #scans: string
  readonly #dirty: string
  readonly #objects: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly pool: Queryable; readonly schema: string }) {
    const schema = pg.escapeIdentifier(options.schema)
    this.#pool = options.pool
    this.#scans = `${schema}.scans`
    this.#dirty = `${schema}.dirty`
    this.#objects = `${schema}.objects`
  }

  /** The one that was started and has not come to its end. */
  async unfinished(source: string): Promise<BackfillRun<unknown> | null> {
    const { rows } = await this.#pool.query(
      `SELECT started_at::text, cursor FROM ${this.#scans}
       WHERE source = $1 AND reason = 'backfill' AND finished_at IS NULL`,
      [source],
    )
    const [row] = rows
    return row === undefined ? null : { source, startedAt: String(row.started_at), cursor: row.cursor }
  }

  /** Begins anew, whatever there was. */
  async start(source: string, cursor: Cursor): Promise<BackfillRun<Cursor>> {
    const { rows } = await this.#pool.query(
      `INSERT INTO ${this.#scans} (source, reason, cursor, started_at, updated_at, finished_at)
       VALUES ($1, 'backfill', $2, clock_timestamp(), clock_timestamp(), NULL)
       ON CONFLICT (source, reason) DO UPDATE SET cursor = excluded.cursor, started_at = excluded.started_at,
         updated_at = excluded.updated_at, finished_at = NULL
       RETURNING started_at::text`,
      [source, JSON.stringify(cursor)],
    )
    return { source, startedAt: String(rows[0]?.started_at), cursor }
  }

  /**
   * Moves the cursor, and puts keys into `dirty`, in one statement.
   * @returns `null` where the run is another process' by now; nothing was written then.
   */
  async save(
    run: BackfillRun<Cursor>,
    cursor: Cursor,
    options: { readonly keys?: readonly QueuedKey[]; readonly finished?: boolean } = {},
  ): Promise<BackfillRun<Cursor> | null> {
    const { keys = [], finished = false } = options
    const { rows } = await this.#pool.query(
      `WITH moved AS (
         UPDATE ${this.#scans} SET cursor = $4::jsonb, updated_at = clock_timestamp(),
           finished_at = CASE WHEN $5::boolean THEN clock_timestamp() END
         WHERE source = $1 AND reason = 'backfill' AND started_at = $2::timestamptz AND finished_at IS NULL
           AND cursor = $3::jsonb
         RETURNING 1
       ), queued AS (
         INSERT INTO ${this.#dirty} (source, key, force)
         SELECT $1, key, force FROM unnest($6::jsonb[], $7::boolean[]) AS k (key, force) WHERE EXISTS (SELECT FROM moved)
       )
       SELECT EXISTS (SELECT FROM moved) AS moved`,
      [
        run.source,
        run.startedAt,
        JSON.stringify(run.cursor),
        JSON.stringify(cursor),
        finished,
        keys.map(({ key }) => JSON.stringify(key)),
        keys.map(({ force }) => force),
      ],
    )
    return rows[0]?.moved === true ? { ...run, cursor } : null
  }

  /** The move of the cursor as a part of another statement; it returns no row where the run is another process' by now. */
  moving(run: BackfillRun<Cursor>, cursor: Cursor): Moving {
    return (first) => ({
      sql: `UPDATE ${this.#scans} SET cursor = $${first + 3}::jsonb, updated_at = clock_timestamp()
        WHERE source = $${first} AND reason = 'backfill' AND started_at = $${first + 1}::timestamptz
          AND finished_at IS NULL AND cursor = $${first + 2}::jsonb
        RETURNING 1`,
      values: [run.source, run.startedAt, JSON.stringify(run.cursor), JSON.stringify(cursor)],
    })
  }

  /** It is not known any more what SafetyKit has of a table's objects: whatever comes of their rows is sent. */
  async forget(sources: readonly string[], namespaces: readonly string[]): Promise<void> {
    const text = `UPDATE ${this.#objects} SET fingerprint = NULL
       WHERE namespace = ANY ($2::text[]) AND source = ANY ($1::text[]) AND state = 'accepted' AND fingerprint IS NOT NULL`
    await this.#pool.query(bounded({ text, values: [sources, namespaces] }, patientMs))
  }

  /** How many of a table's keys wait, up to one of them. */
  async waiting(source: string, through: string): Promise<number> {
    const { rows } = await this.#pool.query(
      `SELECT count(*)::integer AS waiting FROM ${this.#dirty} WHERE source = $1 AND key IS NOT NULL AND seq <= $2`,
      [source, through],
    )
    return Number(rows[0]?.waiting ?? 0)
  }
}
