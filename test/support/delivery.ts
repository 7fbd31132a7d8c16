import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished } from 'vitest'
import type { DeliverySettings } from '../../src/config/resolved.js'
import { type ClientOptions, SafetyKitClient } from '../../src/delivery/client.js'
import { Dispatcher } from '../../src/delivery/dispatch.js'
import type { DispatchOptions } from '../../src/delivery/dispatch-options.js'
import type { Arrival, Content, Origin } from '../../src/delivery/ports.js'
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.js'
import type { SyncError } from '../../src/errors.js'
import { Ledger } from '../../src/ledger/ledger.js'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { openLedgerPool } from '../../src/ledger/postgres.js'
import type { Logger } from '../../src/logger.js'
import { fingerprint } from '../../src/mapping/fingerprint.js'
import type { LogLine } from './memory-logger.js'
import { createDatabase, type TestDatabase } from './postgres.js'
import { soon } from './soon.js'

export type ObjectRow = Readonly<Record<'object_id' | 'state' | 'request_id' | 'attempts' | 'retry_at', unknown>> & {
  readonly error: { readonly code: string; readonly status: number | null; readonly message: string } | null
}

/** A change that was handed in. */
export interface Handed {
  readonly id: string
  /** How often it was settled; once is right. */
  settled: number
}

export interface RoomOptions {
  readonly delivery?: Partial<DeliverySettings>
  /** The waits before the attempts of a parked object. Default: a minute, twice. */
  readonly retryAfterMs?: readonly number[]
  readonly random?: () => number
  readonly emulator?: EmulatorOptions
  readonly client?: Partial<ClientOptions>
  readonly beforeSend?: DispatchOptions['beforeSend']
  readonly spill?: DispatchOptions['spill']
}

export type ByHand = Partial<Omit<Arrival, 'ticket' | 'id' | 'content'>> & {
  readonly namespace?: string
  /** It stands in `dirty`. */
  readonly kept?: boolean
}

/** The delivery on a real ledger and the emulator; changes and rows are made by hand. */
export interface Room {
  readonly emulator: Emulator
  readonly dispatcher: Dispatcher
  readonly log: readonly LogLine[]
  readonly unauthorized: readonly SyncError[]
  readonly handed: readonly Handed[]
  /** What the table holds, for those that are read; else the row is gone. */
  readonly rows: Map<string, Content | (() => Content)>
  /** The ids of each read. */
  readonly reads: readonly (readonly string[])[]
  /** Before each read; may fail. */
  beforeRead: () => Promise<void>
  origin(namespace: string, options?: Partial<Origin>): Origin
  /** A change of any kind. */
  arrive(id: string, content: Content, options?: ByHand): Handed
  /** A row of the WAL with this value. */
  send(id: string, value: unknown, options?: ByHand): Handed
  /** The values that the API accepted for an object, in order. */
  accepted(id: string, namespace?: string): unknown[]
  objects(): Promise<ObjectRow[]>
  dirty(): Promise<Record<string, unknown>[]>
  /** Nothing waits any more: every ticket settled once, nothing held, and the ledger says what the API has. */
  done(): Promise<void>
  /** Stops the dispatcher; there is no check after the test then, since what waits stays unsettled. */
  readonly stop: Dispatcher['stop']
  /** Before the test's end, where it opens many. */
  close(): Promise<void>
}

/** An object's content as a row of the WAL or a read would bring it. */
export function object(id: string, value: unknown, lsn: bigint | null, by: 'wal' | 'read' = 'wal'): Content {
  const json = JSON.stringify({ id, value })
  return { kind: 'object', json, fingerprint: fingerprint(json), lsn, by }
}

/** Makes the side tables of a test file, empty before each test, and hands out rooms that work on them. */
export function useRooms(): {
  readonly db: TestDatabase
  readonly ledger: Ledger
  /** Empties the side tables, as before each test. */
  empty(): Promise<unknown>
  open(options?: RoomOptions): Promise<Room>
} {
  let db: TestDatabase
  let pool: pg.Pool
  beforeAll(async () => {
    db = await createDatabase()
    await migrateLedger(await db.client(), 'safetykit')
    pool = openLedgerPool({ connectionString: db.url, max: 4, onError: () => {} })
  })
  const empty = (): Promise<unknown> =>
    db.query('TRUNCATE safetykit.objects, safetykit.requests, safetykit.submissions, safetykit.dirty')
  beforeEach(() => empty())
  afterAll(async () => {
    await pool.end()
    await db.drop()
  })
  return {
    get db() {
      return db
    },
    get ledger() {
      return new Ledger({ pool, schema: 'safetykit' })
    },
    empty,
    open: (options = {}) => openRoom(db, new Ledger({ pool, schema: 'safetykit' }), options),
  }
}

const quick: DeliverySettings = {
  maxBatchObjects: 100,
  maxBatchBytes: 1024 * 1024,
  maxBatchAgeMs: 5,
  maxConcurrency: 16,
  requestTimeoutMs: 30_000,
  retryBaseMs: 20,
  retryMaxMs: 200,
}

async function openRoom(db: TestDatabase, ledger: Ledger, options: RoomOptions): Promise<Room> {
  const emulator = await startEmulator(options.emulator)
  const delivery = { ...quick, ...options.delivery }
  const client = new SafetyKitClient({
    baseUrl: emulator.url,
    apiKey: emulator.apiKey,
    timeoutMs: delivery.requestTimeoutMs,
    maxConnections: delivery.maxConcurrency,
    ...options.client,
  })
  const log: LogLine[] = []
  const unauthorized: SyncError[] = []
  const handed: Handed[] = []
  const reads: (readonly string[])[] = []
  const rows: Room['rows'] = new Map()
  const origins = new Map<string, Origin>()
  let lsn = 0x100n
  let lowestBytes = 0
  let stopped = false

  const dispatcher = new Dispatcher({
    client,
    ledger,
    delivery,
    parking: { retryAfterMs: options.retryAfterMs ?? [60_000, 60_000] },
    beforeSend: options.beforeSend ?? (() => null),
    spill: options.spill,
    onUnauthorized: (error) => void unauthorized.push(error),
    onPendingBytes: (bytes) => {
      lowestBytes = Math.min(lowestBytes, bytes)
    },
    logger: loggerInto(log),
    readRows: async (_, asked) => {
      await room.beforeRead()
      reads.push(asked.map(({ id }) => id))
      return asked.map(({ id }) => {
        const row = rows.get(id) ?? { kind: 'gone', lsn: ++lsn, by: 'read' }
        return typeof row === 'function' ? row() : row
      })
    },
    ...(options.random === undefined ? {} : { random: options.random }),
  })

  const room: Room = {
    emulator,
    dispatcher,
    log,
    unauthorized,
    handed,
    rows,
    reads,
    beforeRead: async () => {},
    origin(namespace, parts = {}) {
      const source = `public.${namespace}`
      if (Object.keys(parts).length > 0) {
        origins.set(namespace, { namespace, source, keyOf: (id) => ({ id }), tombstone: null, ...parts })
      }
      const known = origins.get(namespace)
      return known ?? room.origin(namespace, { namespace })
    },
    arrive(id, content, { namespace = 'products', kept = false, ...given } = {}) {
      const change: Handed = { id, settled: 0 }
      handed.push(change)
      const ticket = {
        kept,
        settle: () => {
          change.settled += 1
        },
      }
      const origin = room.origin(namespace)
      dispatcher.arrive({ origin, id, key: null, content, ticket, force: false, replayed: false, ...given })
      return change
    },
    send: (id, value, given) => room.arrive(id, object(id, value, ++lsn), given),
    accepted: (id, namespace = 'products') => emulator.history(namespace, id).map(({ data }) => data.value),
    async objects() {
      const columns = 'object_id, state, request_id, attempts, retry_at, error'
      return (await db.query<ObjectRow>(`SELECT ${columns} FROM safetykit.objects ORDER BY namespace, object_id`)).rows
    },
    dirty: async () => (await db.query('SELECT source, key, force FROM safetykit.dirty ORDER BY seq')).rows,
    async done() {
      await soon(() => expect(handed.filter(({ settled }) => settled !== 1)).toEqual([]))
      expect([dispatcher.pendingBytes, lowestBytes]).toEqual([0, 0])
      await dispatcher.idle()
      await expectLedgerToAgree(db, emulator)
      expect(emulator.violations).toEqual([])
    },
    stop() {
      stopped = true
      return dispatcher.stop()
    },
    async close() {
      stopped = true
      dispatcher.abandon()
      await Promise.all([client.destroy(), dispatcher.stop()])
      await emulator.close()
    },
  }
  onTestFinished(async ({ task }) => {
    try {
      if (!stopped && task.result?.state !== 'fail') await room.done()
    } finally {
      await room.close()
    }
  })
  return room
}

function loggerInto(log: LogLine[]): Logger {
  const at =
    (level: keyof Logger): Logger['info'] =>
    (message, fields = {}) =>
      void log.push({ level, message, fields })
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** What is accepted is there under the request that the API had it from last, and in the history. */
async function expectLedgerToAgree(db: TestDatabase, emulator: Emulator): Promise<void> {
  const { rows } = await db.query<{ namespace: string; object_id: string; request_id: string }>(
    "SELECT namespace, object_id, request_id FROM safetykit.objects WHERE state = 'accepted'",
  )
  const told = rows.map((row) => [row.namespace, row.object_id, row.request_id])
  const known = rows.map((row) => [
    row.namespace,
    row.object_id,
    emulator.object(row.namespace, row.object_id)?.requestId,
  ])
  expect(told).toEqual(known)
  const missing = await db.query(
    `SELECT FROM safetykit.objects WHERE state = 'accepted'
       AND (NOT EXISTS (SELECT FROM safetykit.submissions s WHERE (s.namespace, s.object_id, s.request_id) = (objects.namespace, objects.object_id, objects.request_id))
         OR NOT EXISTS (SELECT FROM safetykit.requests r WHERE r.request_id = objects.request_id))`,
  )
  expect(missing.rowCount).toBe(0)
}
