import pg from 'pg'
import type { Evaluation } from '../evaluation.js'
import { type Queryable, textArray } from './postgres.js'
import { errorJson } from './results.js'
import { storableJson } from './storable.js'

/** A webhook as it was received. */
export interface ReceivedWebhook {
  readonly webhookId: string
  readonly namespace: string
  readonly objectId: string
  readonly requestId: string
}

/** One that came before the ledger knew its request. */
export interface WaitingWebhook extends ReceivedWebhook {
  /** What it said. */
  readonly event: unknown
  /** Whether the ledger knows its request by now. */
  readonly known: boolean
  /** It waits for so long that its request will never be known. */
  readonly old: boolean
  /** Where the next page begins. */
  readonly position: WebhookPosition
}

export interface WebhookPosition {
  readonly receivedAt: string
  readonly webhookId: string
}

const kept = `interval '7 days'`

/** The webhooks that were received: so that none counts twice, and none is lost that comes too early. */
export class WebhookStore {
  readonly #db: Queryable
  readonly #table: string
  readonly #requests: string

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly db: Queryable; readonly schema: string }) {
    const schema = pg.escapeIdentifier(options.schema)
    this.#db = options.db
    this.#table = `${schema}.webhooks`
    this.#requests = `${schema}.requests`
  }

  /** Whether it was received before. */
  async has(webhookId: string): Promise<boolean> {
    const { rows } = await this.#db.query(`SELECT FROM ${this.#table} WHERE webhook_id = $1`, [webhookId])
    return rows.length > 0
  }

  /** Keeps what it said until the ledger knows its request. */
  async keep(webhook: ReceivedWebhook, event: unknown): Promise<void> {
    await this.#db.query(
      `INSERT INTO ${this.#table} (webhook_id, namespace, object_id, request_id, event) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT DO NOTHING`,
      [...valuesOf(webhook), storableJson(event)],
    )
  }

  /**
   * What it said is recorded. A request of one object is completed by it; one of several is completed when it is asked
   * about.
   */
  async applied(webhook: ReceivedWebhook, { status, error }: Pick<Evaluation, 'status' | 'error'>): Promise<void> {
    const failure =
      status === 'failed' ? errorJson({ code: 'REQUEST_FAILED', status: null, message: error ?? '' }) : null
    await this.#db.query(
      `WITH completed AS (
         UPDATE ${this.#requests} SET status = $5, error = $6::jsonb, updated_at = clock_timestamp(), completed_at = clock_timestamp()
         WHERE request_id = $4 AND kind = 'add' AND object_count = 1 AND completed_at IS NULL
       )
       INSERT INTO ${this.#table} AS w (webhook_id, namespace, object_id, request_id, applied_at)
       VALUES ($1, $2, $3, $4, clock_timestamp())
       ON CONFLICT (webhook_id) DO UPDATE SET applied_at = excluded.applied_at, event = NULL WHERE w.applied_at IS NULL`,
      [...valuesOf(webhook), status, failure],
    )
  }

  /** Of those that wait, the newest, or the oldest after a position. */
  async waiting(from: 'newest' | WebhookPosition | null, limit: number): Promise<WaitingWebhook[]> {
    const newest = from === 'newest'
    const after = newest || from === null ? [] : [from.receivedAt, from.webhookId]
    const direction = newest ? 'DESC' : 'ASC'
    const { rows } = await this.#db.query(
      `SELECT webhook_id, namespace, object_id, request_id, event::text AS event, received_at::text AS received_at,
         EXISTS (SELECT FROM ${this.#requests} r WHERE r.request_id = w.request_id)::text AS known,
         (received_at < now() - ${kept})::text AS old
       FROM ${this.#table} w
       WHERE applied_at IS NULL ${after.length === 0 ? '' : 'AND (received_at, webhook_id) > ($2::timestamptz, $3)'}
       ORDER BY received_at ${direction}, webhook_id ${direction} LIMIT $1`,
      [limit, ...after],
    )
    return rows.map((row) => ({
      webhookId: String(row.webhook_id),
      namespace: String(row.namespace),
      objectId: String(row.object_id),
      requestId: String(row.request_id),
      event: row.event === null ? null : (JSON.parse(String(row.event)) as unknown),
      known: row.known === 'true',
      old: row.old === 'true',
      position: { receivedAt: String(row.received_at), webhookId: String(row.webhook_id) },
    }))
  }

  /** Forgets those that waited for so long that their request will never be known. Returns how many. */
  async dropOld(): Promise<number> {
    const { rowCount } = await this.#db.query(
      `DELETE FROM ${this.#table} WHERE applied_at IS NULL AND received_at < now() - ${kept}`,
    )
    return rowCount ?? 0
  }

  /** Forgets these. */
  async drop(webhookIds: readonly string[]): Promise<void> {
    await this.#db.query(`DELETE FROM ${this.#table} WHERE webhook_id = ANY ($1::text[])`, [textArray(webhookIds)])
  }
}

const valuesOf = ({ webhookId, namespace, objectId, requestId }: ReceivedWebhook): string[] => [
  webhookId,
  namespace,
  objectId,
  requestId,
]
