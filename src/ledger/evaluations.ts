import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Evaluation } from '../evaluation.js'
import { type Queryable, textArray } from './postgres.js'
import { storable, storableJson } from './storable.js'

/** Evaluations of objects of one request, each object once. */
export interface EvaluatedRequest {
  readonly namespace: string
  readonly requestId: string
  readonly evaluations: readonly Evaluation[]
}

/**
 * Which evaluation an object keeps, in whichever order they come: that of its current request; else the one whose request
 * is the newest. What failed may still succeed under the same request.
 */
const isNew = (schema: string): string => `
  CASE
    WHEN o.evaluated_request_id IS NULL THEN true
    WHEN o.evaluated_request_id = g.request_id THEN o.status = 'failed' AND g.status = 'succeeded'
    WHEN o.request_id = g.request_id THEN true
    WHEN o.request_id = o.evaluated_request_id THEN false
    ELSE coalesce((
      SELECT (e.created_at, e.request_id) < (g.created_at, g.request_id)
      FROM ${schema}.requests e WHERE e.request_id = o.evaluated_request_id), true)
  END`

const given = (schema: string, columns: string, arrays: string): string => `
  SELECT r.request_id, r.created_at, g.* FROM ${schema}.requests r
  CROSS JOIN unnest(${arrays}) AS g (${columns})
  WHERE r.request_id = $2`

/**
 * An object that another process is just writing is not waited for while others are held: nobody can deadlock with this.
 * It is in `there` and not in `locked`.
 */
const applySql = (schema: string): string => `
  WITH given AS (
    ${given(schema, 'object_id, status, output, url', '$3::text[], $4::text[], $5::text[], $6::text[]')}
  ), locked AS (
    SELECT g.* FROM given g JOIN ${schema}.objects o ON o.namespace = $1 AND o.object_id = g.object_id
    FOR NO KEY UPDATE OF o SKIP LOCKED
  ), applied AS (
    UPDATE ${schema}.objects o
    SET status = g.status, output = g.output::jsonb, url = g.url, evaluated_at = clock_timestamp(),
      evaluated_request_id = g.request_id
    FROM locked g
    WHERE o.namespace = $1 AND o.object_id = g.object_id AND ${isNew(schema)}
    RETURNING o.object_id
  )
  SELECT 'applied' AS what, array_agg(object_id) AS ids FROM applied
  UNION ALL
  SELECT 'locked', array_agg(object_id) FROM locked
  UNION ALL
  SELECT 'there', array_agg(o.object_id)
  FROM given g JOIN ${schema}.objects o ON o.namespace = $1 AND o.object_id = g.object_id`

const freshSql = (schema: string): string => `
  SELECT o.object_id FROM (${given(schema, 'object_id, status', '$3::text[], $4::text[]')}) g
  JOIN ${schema}.objects o ON o.namespace = $1 AND o.object_id = g.object_id
  WHERE ${isNew(schema)}`

/** Whoever writes an object does so in one statement; this is for a database that is busy. */
const maxBusyTries = 200
const busyWaitMs = 25

/** What SafetyKit said of the objects. Out of order, twice, or by several processes at once: what stays is the same. */
export class EvaluationStore {
  readonly #db: Queryable
  readonly #apply: string
  readonly #fresh: string
  readonly #known: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly db: Queryable; readonly schema: string }) {
    const schema = pg.escapeIdentifier(options.schema)
    this.#db = options.db
    this.#apply = applySql(schema)
    this.#fresh = freshSql(schema)
    this.#known = `SELECT FROM ${schema}.requests WHERE request_id = $1`
  }

  /** Whether the ledger holds the request: an answer may be faster than the record of what was asked. */
  async knows(requestId: string): Promise<boolean> {
    return (await this.#db.query(this.#known, [requestId])).rows.length > 0
  }

  /** Those that {@link apply} would write as things stand. */
  async fresh({ namespace, requestId, evaluations }: EvaluatedRequest): Promise<Evaluation[]> {
    const values = [namespace, requestId, ...idsAndStatuses(evaluations)]
    const { rows } = await this.#db.query(this.#fresh, values)
    return those(evaluations, new Set(rows.map((row) => String(row.object_id))))
  }

  /** Writes those that are new. Returns them. */
  async apply({ namespace, requestId, evaluations }: EvaluatedRequest): Promise<Evaluation[]> {
    const applied = new Set<string>()
    let left = evaluations
    for (let tries = 1; left.length > 0; tries += 1) {
      const values = [
        namespace,
        requestId,
        ...idsAndStatuses(left),
        textArray(left.map(({ output }) => (output === null ? null : storableJson(output)))),
        textArray(left.map(({ url }) => (url === null ? null : storable(url)))),
      ]
      const { rows } = await this.#db.query({ name: 'safetykit_evaluated', text: this.#apply, values })
      const ids = (what: string): string[] => (rows.find((row) => row.what === what)?.ids ?? []) as string[]
      for (const id of ids('applied')) applied.add(id)
      const locked = new Set(ids('locked'))
      left = those(left, new Set(ids('there').filter((id) => !locked.has(id))))
      if (left.length === 0) break
      if (tries === maxBusyTries) throw new Error(`${left.length} objects are locked by someone for too long`)
      await sleep(busyWaitMs, undefined, { ref: false })
    }
    return those(evaluations, applied)
  }
}

const idsAndStatuses = (evaluations: readonly Evaluation[]): string[] => [
  textArray(evaluations.map(({ objectId }) => objectId)),
  textArray(evaluations.map(({ status }) => status)),
]

const those = (evaluations: readonly Evaluation[], ids: ReadonlySet<string>): Evaluation[] =>
  evaluations.filter(({ objectId }) => ids.has(objectId))
