import pg from 'pg'
import type { RowKey } from '../capture/change.js'
import type { Queryable } from './postgres.js'

/** Something may have been missed, or someone asked for it. */
export type ScanReason = 'mark' | 'backfill'

/** A scan that was started, as it stands in `scans`. */
export interface Run {
  readonly source: string
  /** When it was started, by the database's clock: who holds an older run writes nothing any more. */
  readonly startedAt: string
  readonly reason: ScanReason
  /** What the last step has left; null at the beginning. */
  readonly cursor: unknown
}

/** The rows of `scans`, and the marks in `dirty` that ask for a scan. Every method is one statement, and so one transaction. */
export class ScanStore {
  readonly #pool: Queryable
  readonly #scans: string
  readonly #dirty: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly pool: Queryable; readonly schema: string }) {
    const schema = pg.escapeIdentifier(options.schema)
    this.#pool = options.pool
    this.#scans = `${schema}.scans`
    this.#dirty = `${schema}.dirty`
  }

  /** Of these tables, those that are marked. */
  async marked(sources: readonly string[]): Promise<readonly string[]> {
    const { rows } = await this.#pool.query(
      `SELECT DISTINCT source FROM ${this.#dirty} WHERE key IS NULL AND source = ANY($1::text[]) ORDER BY source`,
      [sources],
    )
    return rows.map(({ source }) => String(source))
  }

  /**
   * Marks the tables whose last scan began longer ago than this, and that neither are marked nor being scanned. A table that
   * was never scanned counts from the first time it is looked for: a row of `scans` says when. One statement, and of
   * several processes that run it at once one marks: the others wait for its rows and find them changed.
   */
  async markOverdue(sources: readonly string[], everyMs: number): Promise<void> {
    await this.#pool.query(
      `WITH due AS (
         INSERT INTO ${this.#scans} AS s (source, cursor, reason, started_at, updated_at, finished_at)
         SELECT source, NULL, 'every', clock_timestamp(), clock_timestamp(), clock_timestamp() FROM unnest($1::text[]) AS source
         ON CONFLICT (source, reason) DO UPDATE SET started_at = excluded.started_at, updated_at = excluded.updated_at,
           finished_at = excluded.finished_at
         WHERE greatest(s.started_at, (SELECT m.started_at FROM ${this.#scans} AS m WHERE m.source = s.source AND m.reason = 'mark'))
           < clock_timestamp() - $2::float8 * interval '1 millisecond'
         RETURNING s.source, s.xmax <> 0 AS again
       )
       INSERT INTO ${this.#dirty} (source)
       SELECT due.source FROM due
       WHERE due.again AND NOT EXISTS (SELECT FROM ${this.#dirty} AS d WHERE d.key IS NULL AND d.source = due.source)
         AND NOT EXISTS (SELECT FROM ${this.#scans} AS m
           WHERE m.source = due.source AND m.reason = 'mark' AND m.finished_at IS NULL)`,
      [sources, everyMs],
    )
  }

  /** The scans of these tables, for a reason, that were started and have not come to their end. */
  async unfinished(sources: readonly string[], reason: ScanReason): Promise<readonly Run[]> {
    const { rows } = await this.#pool.query(
      `SELECT source, started_at::text, reason, cursor FROM ${this.#scans}
       WHERE finished_at IS NULL AND source = ANY($1::text[]) AND reason = $2 ORDER BY started_at`,
      [sources, reason],
    )
    return rows.map(runOf)
  }

  /**
   * Begins a scan from the start, and deletes the marks that it serves: those that this statement sees. What they stand
   * for is committed, so it is read after this.
   */
  async start(source: string, reason: ScanReason): Promise<Run> {
    const { rows } = await this.#pool.query(
      `WITH served AS (DELETE FROM ${this.#dirty} WHERE source = $1 AND key IS NULL)
       INSERT INTO ${this.#scans} (source, cursor, reason, started_at, updated_at, finished_at)
       VALUES ($1, NULL, $2, clock_timestamp(), clock_timestamp(), NULL)
       ON CONFLICT (source, reason) DO UPDATE SET cursor = NULL, reason = excluded.reason, started_at = excluded.started_at,
         updated_at = excluded.updated_at, finished_at = NULL
       RETURNING source, started_at::text, reason, cursor`,
      [source, reason],
    )
    const [row] = rows
    if (row === undefined) throw new RangeError('INSERT … RETURNING gave no row')
    return runOf(row)
  }

  /**
   * Puts the keys of rows that differ into `dirty` and moves the cursor.
   * @returns whether the run was still the current one; else nothing was written.
   */
  save(run: Run, cursor: unknown, keys: readonly RowKey[]): Promise<boolean> {
    return this.#move(run, keys, { cursor: JSON.stringify(cursor), finished: false })
  }

  /** The same with the last keys: the scan has come to its end. */
  finish(run: Run): Promise<boolean> {
    return this.#move(run, [], { cursor: null, finished: true })
  }

  async #move(
    run: Run,
    keys: readonly RowKey[],
    to: { readonly cursor: string | null; readonly finished: boolean },
  ): Promise<boolean> {
    const { rows } = await this.#pool.query(
      `WITH moved AS (
         UPDATE ${this.#scans} SET cursor = $3::jsonb, updated_at = clock_timestamp(),
           finished_at = CASE WHEN $4::boolean THEN clock_timestamp() END
         WHERE source = $1 AND started_at = $2::timestamptz AND reason = $6 AND finished_at IS NULL RETURNING 1
       ), marked AS (
         INSERT INTO ${this.#dirty} (source, key)
         SELECT $1, key FROM unnest($5::jsonb[]) AS key WHERE EXISTS (SELECT FROM moved)
       )
       SELECT EXISTS (SELECT FROM moved) AS moved`,
      [run.source, run.startedAt, to.cursor, to.finished, keys.map((key) => JSON.stringify(key)), run.reason],
    )
    return rows[0]?.moved === true
  }

  /**
   * For tables that cannot be scanned now: of many marks only the newest one stays. It is younger than what the others
   * stand for, so a scan that serves it serves them all.
   */
  async compactMarks(sources: readonly string[]): Promise<void> {
    await this.#pool.query(
      `DELETE FROM ${this.#dirty} AS older USING (
         SELECT source, max(seq) AS seq FROM ${this.#dirty} WHERE key IS NULL AND source = ANY($1::text[]) GROUP BY source
       ) AS newest
       WHERE older.key IS NULL AND older.source = newest.source AND older.seq < newest.seq`,
      [sources],
    )
  }

  /** The newest key of a table that waits; `null` where none does. */
  async newestKey(source: string): Promise<string | null> {
    const { rows } = await this.#pool.query(
      `SELECT max(seq)::text AS seq FROM ${this.#dirty} WHERE key IS NOT NULL AND source = $1`,
      [source],
    )
    return rows[0]?.seq == null ? null : String(rows[0].seq)
  }

  /** Whether any of a table's keys up to `seq` waits. */
  async waits(source: string, seq: string): Promise<boolean> {
    const { rows } = await this.#pool.query(
      `SELECT EXISTS (SELECT FROM ${this.#dirty} WHERE key IS NOT NULL AND source = $1 AND seq <= $2) AS waits`,
      [source, seq],
    )
    return rows[0]?.waits === true
  }

  /** Whether more keys of these tables wait than this. */
  async isCrowded(sources: readonly string[], keys: number): Promise<boolean> {
    const { rows } = await this.#pool.query(
      `SELECT count(*) > $2 AS crowded FROM (
         SELECT FROM ${this.#dirty} WHERE key IS NOT NULL AND source = ANY($1::text[]) LIMIT $2::integer + 1) AS waiting`,
      [sources, keys],
    )
    return rows[0]?.crowded === true
  }
}

const runOf = (row: Record<string, unknown>): Run => ({
  source: String(row.source),
  startedAt: String(row.started_at),
  reason: row.reason as ScanReason,
  cursor: row.cursor ?? null,
})
