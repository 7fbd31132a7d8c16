import type { ClientBase } from 'pg'

/** When refused objects are tried again. Their numbers stand with the other objects. */
export interface RefusedReport {
  /** Parked objects whose time has come, counted no further than 100,000. */
  readonly due: number
  /** The earliest time at which another one is due, ISO 8601; `null` where none waits. */
  readonly nextRetryAt: string | null
}

/** An object that the API refused, or of which no object could be made. */
export interface RefusedObject {
  readonly namespace: string
  readonly id: string
  readonly source: string
  readonly state: 'parked' | 'dead'
  readonly attempts: number
  /** An error code of this package. */
  readonly code: string | null
  /** The API's status, where it answered. */
  readonly status: number | null
  readonly message: string | null
  readonly hint: string | null
  /** When it was last refused, ISO 8601; `null` where the ledger does not say. */
  readonly refusedAt: string | null
  /** When it is tried again, ISO 8601; `null` for a dead one. */
  readonly retryAt: string | null
}

const consideredAtMost = 100_000
const shown = 10

export async function readRefused(client: ClientBase, schema: string): Promise<RefusedReport> {
  const { rows } = await client.query<{ due: string; next: Date | null }>(
    `SELECT (SELECT count(*) FROM (
               SELECT FROM ${schema}.objects WHERE state = 'parked' AND retry_at <= now() LIMIT $1) AS due) AS due,
            (SELECT min(retry_at) FROM ${schema}.objects WHERE state = 'parked' AND retry_at > now()) AS next`,
    [consideredAtMost],
  )
  return { due: Number(rows[0]?.due ?? 0), nextRetryAt: iso(rows[0]?.next ?? null) }
}

interface RefusedRow {
  readonly namespace: string
  readonly object_id: string
  readonly source: string
  readonly state: 'parked' | 'dead'
  readonly attempts: number
  readonly retry_at: Date | null
  readonly error: {
    readonly code?: string
    readonly status?: number | null
    readonly message?: string
    readonly hint?: string
    readonly at?: string
  } | null
}

/** The last refused objects, the newest first. */
export async function readRefusedObjects(client: ClientBase, schema: string): Promise<RefusedObject[]> {
  const { rows } = await client.query<RefusedRow>(
    `SELECT namespace, object_id, source, state, attempts, retry_at, error FROM (
       SELECT * FROM ${schema}.objects WHERE state IN ('parked', 'dead') LIMIT $1) AS refused
      ORDER BY error->>'at' DESC NULLS LAST, retry_at DESC NULLS LAST, namespace, object_id LIMIT $2`,
    [consideredAtMost, shown],
  )
  return rows.map(({ error, ...row }) => ({
    namespace: row.namespace,
    id: row.object_id,
    source: row.source,
    state: row.state,
    attempts: row.attempts,
    code: error?.code ?? null,
    status: error?.status ?? null,
    message: error?.message ?? null,
    hint: error?.hint ?? null,
    refusedAt: error?.at ?? null,
    retryAt: iso(row.retry_at),
  }))
}

const iso = (date: Date | null): string | null => (date === null ? null : date.toISOString())
