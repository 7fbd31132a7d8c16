import type { ClientBase } from 'pg'

interface PruneStoreOptions {
  readonly db: ClientBase
  /** Of the side tables, quoted. */
  readonly schema: string
  readonly dryRun: boolean
}

/** Where nothing is known of a table: a row of about 100 bytes. */
const rowsPerPage = 75

/** A process beats every 15 s. */
const goneAfter = `interval '1 day'`

/**
 * Deletes old rows of the side tables, page by page (a range of `ctid`), each call in a transaction of its own. In a dry run
 * it counts them.
 */
export class PruneStore {
  readonly #db: ClientBase
  readonly #schema: string
  readonly #dryRun: boolean
  readonly #gone: string

  constructor({ db, schema, dryRun }: PruneStoreOptions) {
    this.#db = db
    this.#schema = schema
    this.#dryRun = dryRun
    this.#gone = goneSubmissions(schema)
  }

  /** The time so long ago, by the database's clock: ISO 8601. */
  async cutoff(olderThanMs: number): Promise<string> {
    const { rows } = await this.#db.query<{ before: Date }>(
      `SELECT now() - $1::float8 * interval '1 millisecond' AS before`,
      [olderThanMs],
    )
    return (rows[0]?.before ?? new Date(0)).toISOString()
  }

  /** How many pages a table has, and how many of them hold so many rows. */
  async extent(table: 'submissions' | 'webhooks', rows: number): Promise<{ pages: number; pagesAtOnce: number }> {
    const { rows: found } = await this.#db.query<{ pages: number; density: number | null }>(
      `SELECT (pg_relation_size(oid) / current_setting('block_size')::bigint)::integer AS pages,
         CASE WHEN reltuples > 0 AND relpages > 0 THEN reltuples / relpages END AS density
       FROM pg_catalog.pg_class WHERE oid = to_regclass($1)`,
      [`${this.#schema}.${table}`],
    )
    const { pages = 0, density = null } = found[0] ?? {}
    return { pages, pagesAtOnce: Math.max(1, Math.round(rows / Math.max(1, density ?? rowsPerPage))) }
  }

  /** Submissions in these pages, and the requests of which nothing is left by that. */
  async submissions(
    from: number,
    to: number,
    before: string,
  ): Promise<{ readonly submissions: number; readonly requests: number }> {
    const values = [tid(from), tid(to), before]
    if (this.#dryRun) {
      const { rows } = await this.#db.query<{ submissions: number; requests: number }>(this.#countSql(), values)
      return rows[0] ?? { submissions: 0, requests: 0 }
    }
    return this.#within(async () => {
      const { rows } = await this.#db.query<{ submissions: number; ids: string[] | null }>(
        `${this.#gone}, deleted AS (
           DELETE FROM ${this.#schema}.submissions WHERE ctid = ANY (ARRAY(SELECT tid FROM gone)) RETURNING request_id
         )
         SELECT count(*)::integer AS submissions, array_agg(DISTINCT request_id) AS ids FROM deleted`,
        values,
      )
      const { submissions = 0, ids = null } = rows[0] ?? {}
      return { submissions, requests: ids === null ? 0 : await this.#requests(ids) }
    })
  }

  /** Those of these requests that have no submission any more. */
  async #requests(ids: readonly string[]): Promise<number> {
    const { rowCount } = await this.#db.query(
      `DELETE FROM ${this.#schema}.requests r
       WHERE r.request_id = ANY ($1::text[]) AND r.completed_at IS NOT NULL AND NOT EXISTS (
         SELECT FROM ${this.#schema}.submissions s WHERE s.submitted_at = r.created_at AND s.request_id = r.request_id OFFSET 0)`,
      [ids],
    )
    return rowCount ?? 0
  }

  /** A request whose submissions are in several slices is counted in the first of them. */
  #countSql(): string {
    return `${this.#gone}
      SELECT (SELECT count(*) FROM gone)::integer AS submissions, (
        SELECT count(*) FROM (SELECT DISTINCT request_id FROM gone) AS sent
        CROSS JOIN LATERAL (SELECT created_at FROM ${this.#schema}.requests r
          WHERE r.request_id = sent.request_id OFFSET 0) AS known
        WHERE NOT EXISTS (
          SELECT FROM ${this.#schema}.submissions s
          WHERE s.submitted_at = known.created_at AND s.request_id = sent.request_id AND (s.ctid < $1::tid OR NOT EXISTS (
            SELECT FROM ${this.#schema}.objects o
            WHERE o.namespace = s.namespace AND o.object_id = s.object_id AND NOT ${isNeeded('s')} OFFSET 0)) OFFSET 0)
      )::integer AS requests`
  }

  /** Webhooks in these pages that were applied. */
  webhooks(from: number, to: number, before: string): Promise<number> {
    return this.#remove('webhooks', 'ctid >= $1::tid AND ctid < $2::tid AND applied_at < $3', [
      tid(from),
      tid(to),
      before,
    ])
  }

  /** Of processes that are gone. */
  heartbeats(): Promise<number> {
    return this.#remove('heartbeats', `beat_at < now() - ${goneAfter}`, [])
  }

  /** Of scans that came to their end; but when a table was last scanned by `scan.every` decides when it is again. */
  scans(before: string): Promise<number> {
    return this.#remove('scans', `finished_at < $1 AND reason <> 'every'`, [before])
  }

  async #remove(table: string, condition: string, values: readonly unknown[]): Promise<number> {
    const from = `FROM ${this.#schema}.${table} WHERE ${condition}`
    if (!this.#dryRun) return (await this.#db.query(`DELETE ${from}`, [...values])).rowCount ?? 0
    const { rows } = await this.#db.query<{ count: number }>(`SELECT count(*)::integer AS count ${from}`, [...values])
    return rows[0]?.count ?? 0
  }

  async #within<T>(work: () => Promise<T>): Promise<T> {
    await this.#db.query('BEGIN')
    try {
      const result = await work()
      await this.#db.query('COMMIT')
      return result
    } catch (error) {
      // The first error is the one that tells.
      await this.#db.query('ROLLBACK').catch(() => {})
      throw error
    }
  }
}

const tid = (page: number): string => `(${page},0)`

/** Whether the object is not known, or has nothing newer than this. */
const isNeeded = (submission: string): string =>
  `(o.request_id IS NULL OR ${submission}.request_id IN (o.request_id, coalesce(o.evaluated_request_id, '')))`

/**
 * A request that the ledger does not hold is left alone, and so is one that a backfill's journal names: it is about to be
 * recorded. `OFFSET 0` keeps a lookup by key a lookup, whatever the planner believes of the tables' sizes.
 */
const goneSubmissions = (schema: string): string => `
  WITH old AS MATERIALIZED (
    SELECT ctid AS tid, namespace, object_id, request_id FROM ${schema}.submissions
    WHERE ctid >= $1::tid AND ctid < $2::tid AND submitted_at < $3
  ), closed AS MATERIALIZED (
    SELECT request_id FROM (SELECT DISTINCT request_id FROM old) AS sent
    CROSS JOIN LATERAL (SELECT FROM ${schema}.requests r
      WHERE r.request_id = sent.request_id AND r.completed_at IS NOT NULL OFFSET 0) AS known
    WHERE request_id NOT IN (
      SELECT part ->> 'requestId' FROM ${schema}.scans
      CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(cursor -> 'parts') WHEN 'array' THEN cursor -> 'parts' END) AS part
      WHERE reason = 'backfill' AND finished_at IS NULL AND part ->> 'requestId' IS NOT NULL)
  ), gone AS MATERIALIZED (
    SELECT old.tid, old.request_id FROM old JOIN closed USING (request_id)
    CROSS JOIN LATERAL (SELECT o.request_id, o.evaluated_request_id FROM ${schema}.objects o
      WHERE o.namespace = old.namespace AND o.object_id = old.object_id OFFSET 0) AS o
    WHERE NOT ${isNeeded('old')}
  )`
