import pg from 'pg'
import { bounded } from '../bounded-query.js'
import { patientMs, type Queryable, textArray } from './postgres.js'
import { storable } from './storable.js'

/** How the evaluations come back, which decides what is asked for. */
export type Following = 'poll' | 'webhook' | 'off'

/** A request that is to be asked about now. */
export interface OpenRequest {
  readonly requestId: string
  readonly namespace: string
  readonly kind: 'add' | 'import'
  /** By the database's clock. */
  readonly ageMs: number
  /** So old that nothing is expected of it any more. */
  readonly expired: boolean
}

/** The column that an object's id is the value of, where that is the whole key of its row. */
export interface KeyColumn {
  readonly source: string
  readonly namespace: string
  readonly column: string
}

/** Why a request has no results, or not all. */
export interface RequestError {
  readonly code: string
  /** Of the HTTP answer; `null` where that was not the reason. */
  readonly status: number | null
  readonly message: string
  readonly hint?: string | undefined
}

/** As long as webhooks are given, before a request is asked about all the same. */
const webhookGrace = `interval '10 minutes'`

/** How long a request is asked about. */
const kept = `interval '7 days'`

const wanted: Readonly<Record<Following, string>> = {
  poll: 'true',
  webhook: `(r.created_at < now() - ${webhookGrace} OR (r.kind = 'import' AND r.status <> 'succeeded'))`,
  off: `r.kind = 'import'`,
}

/** After half its age, but not before a second nor later than an hour. The first condition is the one that has the index. */
const due = `r.completed_at IS NULL AND r.updated_at <= now() - interval '1 second'
  AND r.updated_at + least(interval '1 hour', greatest(interval '1 second', (r.updated_at - r.created_at) / 2)) <= now()`

/**
 * The requests that SafetyKit has not finished, or whose results were not taken yet. Every method is one statement, and may
 * run in several processes at once.
 */
export class ResultStore {
  readonly #db: Queryable
  readonly #schema: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly db: Queryable; readonly schema: string }) {
    this.#db = options.db
    this.#schema = pg.escapeIdentifier(options.schema)
  }

  /** Whether there is anything to do: a request to ask about, or a webhook that waits. */
  async isAnyDue(following: Following): Promise<boolean> {
    // With `off`, adds are closed rather than asked about.
    const any = following === 'off' ? `r.kind = 'add' OR ${wanted.off}` : wanted[following]
    const { rows } = await this.#db.query(
      `SELECT EXISTS (SELECT FROM ${this.#schema}.requests r WHERE ${due} AND (${any}))
           OR EXISTS (SELECT FROM ${this.#schema}.webhooks WHERE applied_at IS NULL) AS "any"`,
    )
    return rows[0]?.any === true
  }

  /** Requests to ask about, those that were not asked about for the longest time first. */
  async due(options: {
    readonly following: Following
    readonly limit: number
    readonly imports: boolean
    /** Requests that are in hand. */
    readonly except: readonly string[]
  }): Promise<OpenRequest[]> {
    const { following, limit, imports, except } = options
    const { rows } = await this.#db.query(
      `SELECT r.request_id, r.namespace, r.kind, extract(epoch FROM now() - r.created_at)::text AS age,
         (r.created_at < now() - ${kept})::text AS expired
       FROM ${this.#schema}.requests r
       WHERE ${due} AND ${wanted[following]} AND ($2 OR r.kind <> 'import') AND r.request_id <> ALL ($3::text[])
       ORDER BY r.updated_at LIMIT $1`,
      [limit, imports, textArray(except)],
    )
    return rows.map((row) => ({
      requestId: String(row.request_id),
      namespace: String(row.namespace),
      kind: row.kind === 'import' ? 'import' : 'add',
      ageMs: Number(row.age) * 1_000,
      expired: row.expired === 'true',
    }))
  }

  /** Nothing is asked for: adds are done with what the API said when it took them. Returns how many were closed. */
  async closeAdds(limit: number): Promise<number> {
    const { rowCount } = await this.#db.query(
      `UPDATE ${this.#schema}.requests SET completed_at = clock_timestamp() WHERE request_id IN (
         SELECT request_id FROM ${this.#schema}.requests r WHERE ${due} AND kind = 'add' LIMIT $1 FOR UPDATE SKIP LOCKED)`,
      [limit],
    )
    return rowCount ?? 0
  }

  /** Completes those of these requests whose objects are all evaluated, or in newer requests; webhooks brought them. */
  async completeEvaluated(requestIds: readonly string[]): Promise<ReadonlySet<string>> {
    const text = `
       UPDATE ${this.#schema}.requests r
       SET status = 'succeeded', updated_at = clock_timestamp(), completed_at = clock_timestamp()
       WHERE r.request_id = ANY ($1::text[]) AND r.completed_at IS NULL AND (r.kind = 'add' OR r.status = 'succeeded')
         AND NOT EXISTS (
           SELECT FROM ${this.#schema}.submissions s
           JOIN ${this.#schema}.objects o ON o.namespace = s.namespace AND o.object_id = s.object_id
           WHERE s.submitted_at = r.created_at AND s.request_id = r.request_id
             AND o.request_id = r.request_id AND o.evaluated_request_id IS DISTINCT FROM r.request_id)
       RETURNING r.request_id`
    const { rows } = await this.#db.query(bounded({ text, values: [textArray(requestIds)] }, patientMs))
    return new Set(rows.map((row) => String(row.request_id)))
  }

  /** It was asked about and is not finished, or could not be; it is asked about again later. */
  async asked(requestId: string, status?: string): Promise<void> {
    await this.#db.query(
      `UPDATE ${this.#schema}.requests SET updated_at = clock_timestamp(),
         status = CASE WHEN status IN ('succeeded', 'failed') THEN status ELSE coalesce($2, status) END
       WHERE request_id = $1 AND completed_at IS NULL`,
      [requestId, status === undefined ? null : storable(status)],
    )
  }

  /** Nothing more is expected of it. Returns whether this call completed it. */
  async complete(
    requestId: string,
    { status, error }: { readonly status?: string; readonly error?: RequestError } = {},
  ): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      `UPDATE ${this.#schema}.requests
       SET status = coalesce($2, status), error = $3, updated_at = clock_timestamp(), completed_at = clock_timestamp()
       WHERE request_id = $1 AND completed_at IS NULL`,
      [requestId, status ?? null, errorJson(error)],
    )
    return (rowCount ?? 0) > 0
  }

  /** Completes requests that are so old that nothing is expected of them. Returns how many. */
  async giveUp(following: Following, error: RequestError, limit: number): Promise<number> {
    const { rowCount } = await this.#db.query(
      `UPDATE ${this.#schema}.requests SET error = $2, completed_at = clock_timestamp() WHERE request_id IN (
         SELECT request_id FROM ${this.#schema}.requests r
         WHERE ${due} AND ${wanted[following]} AND created_at < now() - ${kept} LIMIT $1 FOR UPDATE SKIP LOCKED)`,
      [limit, errorJson(error)],
    )
    return rowCount ?? 0
  }

  /** The objects that were sent in a request. */
  async objectsOf(requestId: string): Promise<string[]> {
    const text = `SELECT DISTINCT s.object_id FROM ${this.#schema}.requests r
       JOIN ${this.#schema}.submissions s ON s.submitted_at = r.created_at AND s.request_id = r.request_id
       WHERE r.request_id = $1`
    const { rows } = await this.#db.query(bounded({ text, values: [requestId] }, patientMs))
    return rows.map((row) => String(row.object_id))
  }

  /**
   * SafetyKit has taken over an import. It did so at some time since the upload, so that it may have overwritten whatever
   * was sent meanwhile: objects that have another request by now are put into `dirty`, to be sent once more. The status is
   * written by the same statement, so that this happens once.
   *
   * @returns how many keys were marked; `null` where it was known already.
   */
  importSucceeded(requestId: string, keys: readonly KeyColumn[]): Promise<number | null> {
    return this.#finishImport(
      `WITH import AS (
         UPDATE ${this.#schema}.requests SET status = 'succeeded', updated_at = clock_timestamp()
         WHERE request_id = $1 AND kind = 'import' AND status NOT IN ('succeeded', 'failed')
         RETURNING request_id, created_at
       ), superseded AS (
         SELECT o.source, ${keyOf} AS key, true AS force FROM import
         ${objectsOfImport(this.#schema)}
         WHERE o.request_id IS DISTINCT FROM import.request_id
       )
       ${markDirty(this.#schema, 'superseded')}`,
      [requestId],
      keys,
    )
  }

  /**
   * SafetyKit could not take over an import: it has none of its objects. Those that were not sent since then are `failed`
   * and put into `dirty`, to be sent one by one.
   *
   * @returns how many keys were marked; `null` where it was known already.
   */
  importFailed(requestId: string, error: RequestError, keys: readonly KeyColumn[]): Promise<number | null> {
    return this.#finishImport(
      `WITH import AS (
         UPDATE ${this.#schema}.requests
         SET status = 'failed', error = $5, updated_at = clock_timestamp(), completed_at = clock_timestamp()
         WHERE request_id = $1 AND kind = 'import' AND status NOT IN ('succeeded', 'failed')
         RETURNING request_id, created_at
       ), still AS (
         SELECT o.namespace, o.object_id, o.source, ${keyOf} AS key, false AS force FROM import
         ${objectsOfImport(this.#schema)}
         WHERE o.request_id = import.request_id
       ), forgotten AS (
         UPDATE ${this.#schema}.objects o
         SET fingerprint = NULL, status = 'failed', output = NULL, url = NULL, evaluated_at = clock_timestamp(),
           evaluated_request_id = o.request_id
         FROM still WHERE o.namespace = still.namespace AND o.object_id = still.object_id AND o.request_id = $1
       )
       ${markDirty(this.#schema, 'still')}`,
      [requestId],
      keys,
      [errorJson(error)],
    )
  }

  async #finishImport(
    text: string,
    before: readonly unknown[],
    keys: readonly KeyColumn[],
    after: readonly unknown[] = [],
  ): Promise<number | null> {
    const columns = [
      textArray(keys.map(({ source }) => source)),
      textArray(keys.map(({ namespace }) => namespace)),
      textArray(keys.map(({ column }) => column)),
    ]
    const { rows } = await this.#db.query(bounded({ text, values: [...before, ...columns, ...after] }, patientMs))
    return rows[0]?.finished === true ? Number(rows[0]?.marked) : null
  }
}

const keyOf =
  'coalesce(s.key, CASE WHEN k.key_column IS NOT NULL THEN jsonb_build_object(k.key_column, o.object_id) END)'

/** Found by the time of their submission, which has the index. */
const objectsOfImport = (schema: string): string => `
  JOIN ${schema}.submissions s ON s.submitted_at = import.created_at AND s.request_id = import.request_id
  JOIN ${schema}.objects o ON o.namespace = s.namespace AND o.object_id = s.object_id
  LEFT JOIN unnest($2::text[], $3::text[], $4::text[]) AS k (source, namespace, key_column)
    ON k.source = o.source AND k.namespace = o.namespace`

/** A key that nothing tells any more, since its mapping is gone, is left out. */
const markDirty = (schema: string, objects: string): string => `, marked AS (
    INSERT INTO ${schema}.dirty (source, key, force)
    SELECT source, key, force FROM ${objects} WHERE key IS NOT NULL
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM marked)::text AS marked, EXISTS (SELECT FROM import) AS finished`

/** As `requests.error` holds it. */
export function errorJson(error: RequestError | undefined): string | null {
  if (error === undefined) return null
  return JSON.stringify({ ...error, message: storable(error.message), at: new Date().toISOString() })
}
