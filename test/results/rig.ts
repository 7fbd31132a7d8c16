import type pg from 'pg'
import { onTestFinished } from 'vitest'
import type { ResolvedSync } from '../../src/config/resolved.js'
import { SafetyKitClient } from '../../src/delivery/client.js'
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.js'
import type { SyncError } from '../../src/errors.js'
import type { Evaluation } from '../../src/evaluation.js'
import { type EventSink, Events } from '../../src/events.js'
import { EvaluationStore } from '../../src/ledger/evaluations.js'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { openLedgerPool } from '../../src/ledger/postgres.js'
import { ResultStore } from '../../src/ledger/results.js'
import type { Parts } from '../../src/pipeline/engine.js'
import { type Following, followRequests } from '../../src/pipeline/results.js'
import { add } from '../support/emulator.js'
import { uploadedImport } from '../support/imports.js'
import { type LogLine, memoryLogger } from '../support/memory-logger.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'

/** A row of `objects`, as far as results are concerned. */
export interface EvaluatedRow {
  readonly object_id: string
  readonly request_id: string | null
  readonly fingerprint: string | null
  readonly status: string | null
  readonly output: { readonly labels: readonly { readonly label: string }[] } | null
  readonly url: string | null
  readonly evaluated_at: Date | null
  readonly evaluated_request_id: string | null
}

export interface RequestRow {
  readonly request_id: string
  readonly kind: string
  readonly status: string
  readonly error: { readonly code: string; readonly status: number | null; readonly message: string } | null
  readonly completed_at: Date | null
}

/** What a request is recorded with. */
export interface Recorded {
  readonly requestId: string
  readonly ids: readonly string[]
  readonly kind?: 'add' | 'import'
  /** Seconds. Default: 2, so that it is due at once. */
  readonly age?: number
  /** Keys that the ids do not tell, by id. */
  readonly keys?: Readonly<Record<string, object>>
  /** Objects that stay under the request that they have. */
  readonly not?: readonly string[]
}

export interface FollowOptions {
  readonly results?: ResolvedSync['results']
  readonly onResult?: (evaluation: Evaluation) => unknown
}

/** A ledger, the emulator, and requests that were sent by hand and recorded as the delivery and a backfill record them. */
export interface ResultsRig {
  readonly db: TestDatabase
  readonly pool: pg.Pool
  readonly emulator: Emulator
  readonly log: readonly LogLine[]
  readonly store: ResultStore
  readonly evaluations: EvaluationStore
  readonly events: EventSink
  /** The evaluations that were told as events. */
  readonly told: readonly Evaluation[]
  readonly failures: readonly SyncError[]
  logged(level: LogLine['level']): readonly LogLine[]
  /** How often `onKeys` was called. */
  woken(): number
  record(recorded: Recorded): Promise<void>
  /** Sends objects of `products` and records that; the id of the request. */
  sent(objects: readonly { readonly id: string }[], options?: Partial<Recorded>): Promise<string>
  /** The same by an import. */
  imported(objects: readonly { readonly id: string }[], options?: Partial<Recorded>): Promise<string>
  /** Makes a request older, with its submissions. */
  age(requestId: string, interval: string): Promise<void>
  /** Makes all that is open due. */
  hurry(): Promise<void>
  /** Follows the requests until it is stopped, or the test ends. */
  follow(options?: FollowOptions): Following
  objects(): Promise<EvaluatedRow[]>
  object(id: string): Promise<EvaluatedRow | undefined>
  request(requestId: string): Promise<RequestRow>
  dirty(): Promise<{ source: string; key: object; force: boolean }[]>
  /** Empties the side tables. */
  empty(): Promise<void>
}

export async function resultsRig(emulatorOptions: EmulatorOptions = {}): Promise<ResultsRig> {
  const db = await createDatabase()
  await migrateLedger(await db.client(), 'safetykit')
  const emulator = await startEmulator(emulatorOptions)
  const pool = openLedgerPool({ connectionString: db.url, max: 4, onError: () => {} })
  const client = new SafetyKitClient({
    baseUrl: emulator.url,
    apiKey: emulator.apiKey,
    timeoutMs: 10_000,
    maxConnections: 16,
  })
  const log: LogLine[] = []
  const logger = memoryLogger(log)
  const events = new Events(logger)
  const told: Evaluation[] = []
  events.on('evaluated', (evaluation) => told.push(evaluation))
  const failures: SyncError[] = []
  const running = new Set<{ stop(): Promise<void> }>()
  let woken = 0
  onTestFinished(async () => {
    await Promise.all([...running].map((one) => one.stop()))
    await client.destroy()
    await pool.end()
    await emulator.close()
    await db.drop()
  })
  const target = { origin: { namespace: 'products', source: 'public.products', keyOf: (id: string) => ({ id }) } }
  const rig: ResultsRig = {
    db,
    pool,
    emulator,
    log,
    store: new ResultStore({ db: pool, schema: 'safetykit' }),
    evaluations: new EvaluationStore({ db: pool, schema: 'safetykit' }),
    events,
    told,
    failures,
    logged: (wanted) => log.filter(({ level }) => level === wanted),
    woken: () => woken,
    async record({ requestId, ids, kind = 'add', age = 2, keys = {}, not = [] }) {
      // Milliseconds, as the delivery has them.
      const { rows } = await db.query<{ at: string }>(
        `INSERT INTO safetykit.requests (request_id, namespace, kind, object_count, status, created_at, updated_at)
         SELECT $1, 'products', $2, $3, 'accepted', at, at
         FROM (SELECT date_trunc('milliseconds', now()) - $4 * interval '1 second') AS t (at) RETURNING created_at::text AS at`,
        [requestId, kind, ids.length, age],
      )
      const at = rows[0]?.at
      await db.query(
        `INSERT INTO safetykit.submissions (namespace, object_id, request_id, submitted_at, key)
         SELECT 'products', id, $1, $2, $4::jsonb -> id FROM unnest($3::text[]) AS id`,
        [requestId, at, ids, JSON.stringify(keys)],
      )
      await db.query(
        `INSERT INTO safetykit.objects (namespace, object_id, source, state, request_id, fingerprint, accepted_at)
         SELECT 'products', id, 'public.products', 'accepted', $1, 'print', $2 FROM unnest($3::text[]) AS id
         ON CONFLICT (namespace, object_id) DO UPDATE SET request_id = $1, fingerprint = 'print', accepted_at = $2`,
        [requestId, at, ids.filter((id) => !not.includes(id))],
      )
    },
    async sent(objects, options = {}) {
      const answer = await add(emulator, 'products', objects)
      const requestId = String(answer.body?.requestId)
      await rig.record({ requestId, ids: objects.map(({ id }) => id), ...options })
      return requestId
    },
    async imported(objects, options = {}) {
      const requestId = await uploadedImport(emulator, ...objects)
      await rig.record({ requestId, ids: objects.map(({ id }) => id), kind: 'import', ...options })
      return requestId
    },
    async age(requestId, interval) {
      await db.query(
        `WITH r AS (UPDATE safetykit.requests SET created_at = created_at - $2::interval,
             updated_at = created_at - $2::interval WHERE request_id = $1)
         UPDATE safetykit.submissions SET submitted_at = submitted_at - $2::interval WHERE request_id = $1`,
        [requestId, interval],
      )
    },
    async hurry() {
      await db.query('UPDATE safetykit.requests SET updated_at = created_at WHERE completed_at IS NULL')
    },
    follow({ results = 'poll', onResult } = {}) {
      const following = followRequests(
        {
          resolved: { schema: 'safetykit', results, onResult: onResult ?? null },
          databases: { ledger: pool },
          sources: { all: [{ name: 'public.products', targets: [target] }] },
          client,
          proxy: undefined,
          events,
          logger,
          fail: (error: SyncError) => void failures.push(error),
        } as unknown as Parts,
        () => {
          woken += 1
        },
      )
      running.add(following)
      return following
    },
    async objects() {
      return (await db.query<EvaluatedRow & pg.QueryResultRow>('SELECT * FROM safetykit.objects ORDER BY object_id'))
        .rows
    },
    object: async (id) => (await rig.objects()).find(({ object_id }) => object_id === id),
    async request(requestId) {
      const { rows } = await db.query<RequestRow & pg.QueryResultRow>(
        'SELECT * FROM safetykit.requests WHERE request_id = $1',
        [requestId],
      )
      if (rows[0] === undefined) throw new Error(`the ledger has no request ${requestId}`)
      return rows[0]
    },
    async dirty() {
      const { rows } = await db.query<{ source: string; key: object; force: boolean }>(
        'SELECT source, key, force FROM safetykit.dirty ORDER BY key::text',
      )
      return rows
    },
    async empty() {
      await db.query(
        'TRUNCATE safetykit.objects, safetykit.requests, safetykit.submissions, safetykit.dirty, safetykit.webhooks',
      )
    },
  }
  return rig
}

/** An evaluation of an object of `products`. */
export const evaluation = (objectId: string, requestId: string, label = 'fine'): Evaluation => ({
  namespace: 'products',
  objectId,
  requestId,
  status: 'succeeded',
  output: { labels: [{ label }], actions: [], fields: {} },
  url: `https://safetykit.test/${objectId}`,
  error: null,
})
