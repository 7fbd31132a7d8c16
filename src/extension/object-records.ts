import { escapeIdentifier } from 'pg'
import type { EvaluationOutput } from '../evaluation.js'
import type { Queryable } from '../ledger/postgres.js'
import type { ObjectError, ObjectEvaluation, ObjectRequest, ObjectStatus } from './api.js'

/** Independent of how the application has set up `pg`'s parsers, which are the process'. */
const time = (column: string): string =>
  `pg_catalog.to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** What the ledger holds of objects, to be asked by namespace and id. */
export class ObjectRecords {
  readonly #db: Queryable
  readonly #objects: string
  readonly #requests: string

  /** @param schema the schema's name, unquoted. */
  constructor(db: Queryable, schema: string) {
    const side = escapeIdentifier(schema)
    this.#db = db
    this.#objects = `SELECT object_id, state, request_id, ${time('accepted_at')} AS accepted_at, error::text AS error,
        status, output::text AS output, url, evaluated_request_id, ${time('evaluated_at')} AS evaluated_at
      FROM ${side}.objects WHERE namespace = $1 AND object_id = ANY ($2::text[])`
    this.#requests = `SELECT s.request_id, ${time('s.submitted_at')} AS submitted_at, r.kind, r.status,
        r.object_count::text AS object_count, ${time('r.created_at')} AS created_at, ${time('r.updated_at')} AS updated_at
      FROM ${side}.submissions s JOIN ${side}.requests r ON r.request_id = s.request_id
      WHERE s.object_id = $2 AND s.namespace = $1 ORDER BY s.submitted_at DESC, s.request_id DESC LIMIT $3`
  }

  /** By object id. */
  async objects(namespace: string, ids: readonly string[]): Promise<ReadonlyMap<string, ObjectStatus>> {
    const { rows } = await this.#db.query(this.#objects, [namespace, ids])
    return new Map(rows.map((row) => [String(row.object_id), statusOf(namespace, row)]))
  }

  /** The newest first. */
  async requests(namespace: string, objectId: string, limit: number): Promise<ObjectRequest[]> {
    const { rows } = await this.#db.query(this.#requests, [namespace, objectId, limit])
    return rows.map((row) => ({
      requestId: String(row.request_id),
      namespace,
      objectId,
      submittedAt: new Date(String(row.submitted_at)),
      kind: row.kind as ObjectRequest['kind'],
      status: String(row.status),
      objectCount: Number(row.object_count),
      createdAt: new Date(String(row.created_at)),
      updatedAt: new Date(String(row.updated_at)),
    }))
  }
}

function statusOf(namespace: string, row: Record<string, unknown>): ObjectStatus {
  const evaluation = {
    status: row.status as ObjectEvaluation['status'],
    requestId: text(row.evaluated_request_id),
    output: row.output === null ? null : (JSON.parse(String(row.output)) as EvaluationOutput),
    url: text(row.url),
    evaluatedAt: date(row.evaluated_at),
  }
  return {
    namespace,
    objectId: String(row.object_id),
    state: row.state as ObjectStatus['state'],
    requestId: text(row.request_id),
    acceptedAt: date(row.accepted_at),
    evaluation: row.status === null ? null : evaluation,
    error: row.error === null ? null : errorOf(JSON.parse(String(row.error)) as Record<string, unknown>),
  }
}

const errorOf = (error: Readonly<Record<string, unknown>>): ObjectError => ({
  code: String(error.code),
  status: typeof error.status === 'number' ? error.status : null,
  message: String(error.message),
  hint: text(error.hint),
  at: date(error.at),
})

const text = (value: unknown): string | null => (value === null || value === undefined ? null : String(value))
const date = (value: unknown): Date | null => (value === null || value === undefined ? null : new Date(String(value)))
