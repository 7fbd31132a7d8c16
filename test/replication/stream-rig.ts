import { afterAll, afterEach, beforeAll } from 'vitest'
import { inspectSlot, type SlotState } from '../../src/capture/replication/slot.js'
import { openWalStream, type WalStream, type WalStreamOptions } from '../../src/capture/replication/wal-stream.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.js'
import type { Recorder } from './recorder.js'

/** A database with a table `items`, its publication, and streams and proxies that are closed after each test. */
export interface StreamRig {
  readonly db: TestDatabase
  readonly slot: string
  readonly publication: string
  open(recorder: Recorder, options?: Partial<WalStreamOptions>): WalStream
  createSlot(): Promise<void>
  slotState(): Promise<SlotState>
  /** Ends whoever reads from the slot, as an administrator does. */
  terminateReader(): Promise<void>
  proxy(): Promise<TcpProxy>
  insert(from: number, to: number): Promise<void>
}

/** Call it once at the top of a test file. */
export function streamRig(): StreamRig {
  const opened: WalStream[] = []
  const proxies: TcpProxy[] = []
  // A name that has to be quoted twice: as an identifier, and within a literal.
  const publication = `it's "mine"`
  let db: TestDatabase

  beforeAll(async () => {
    db = await createDatabase({
      sql: `CREATE TABLE items (id int PRIMARY KEY, body text); CREATE PUBLICATION "it's ""mine""" FOR ALL TABLES`,
    })
  })
  afterAll(() => db.drop())
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((stream) => stream.stop()))
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()))
    // The server takes a moment to see that its reader is gone.
    await soon(() =>
      db.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1', [db.name]),
    )
    await db.query('TRUNCATE items')
  })

  return {
    publication,
    get db() {
      return db
    },
    get slot() {
      return db.name
    },
    open(recorder, options = {}) {
      const stream = openWalStream({
        connection: { connectionString: db.url },
        slot: db.name,
        publication,
        consumer: recorder,
        ...options,
      })
      opened.push(stream)
      return stream
    },
    async createSlot() {
      await db.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [db.name])
    },
    async slotState() {
      const client = await db.client()
      const state = await inspectSlot(client, db.name)
      await client.end()
      if (state === null) throw new Error('there is no slot')
      return state
    },
    async terminateReader() {
      await db.query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [
        db.name,
      ])
    },
    async proxy() {
      const made = await tcpProxy(db.url)
      proxies.push(made)
      return made
    },
    async insert(from, to) {
      await db.query('INSERT INTO items SELECT g, $3 FROM generate_series($1::int, $2::int) g', [
        from,
        to,
        'x'.repeat(200),
      ])
    },
  }
}
