import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { checkServer } from '../../src/capture/replication/server.js'
import { checkSlot, createSlot, inspectSlot } from '../../src/capture/replication/slot.js'
import { openWalStream } from '../../src/capture/replication/wal-stream.js'
import { createDatabase, type OwnServer, ownServer, type TestDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { Recorder } from './recorder.js'

let db: TestDatabase
let client: pg.Client
let slot: string

beforeAll(async () => {
  db = await createDatabase({ sql: 'CREATE TABLE items (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE items' })
  client = await db.client()
  slot = db.name
})
afterAll(() => db.drop())
afterEach(async () => {
  await db.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1', [slot])
})

describe('the slot', () => {
  test('is created once, from several processes at once as well', async () => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => db.client()))
    const made = await Promise.all(clients.map((c) => createSlot(c, slot)))
    expect(made.filter(Boolean)).toHaveLength(1)
    expect(await createSlot(client, slot)).toBe(false)
    const state = await checkSlot(client, slot)
    expect(state).toMatchObject({ type: 'logical', plugin: 'pgoutput', database: db.name, active: false })
    expect(state.confirmedFlushLsn).toBeTypeOf('bigint')
  })

  test('is worth another attempt where the connection breaks while it is made', async () => {
    // A slot begins after the transactions that run.
    const writer = await db.client()
    await writer.query('BEGIN; SELECT pg_current_xact_id()')
    const maker = await db.client()
    maker.on('error', () => {})
    const made = createSlot(maker, slot)
    made.catch(() => {})
    await soon(async () => {
      const { rowCount } = await db.query(
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE query LIKE '%create_logical_replication_slot%' AND pid <> pg_backend_pid() AND datname = current_database()`,
      )
      expect(rowCount).toBe(1)
    })
    await writer.query('COMMIT')
    await expect(made).rejects.toMatchObject({ code: 'DATABASE_UNFIT', retryable: true })
  })

  test('shows how much WAL it keeps and how far it is behind', async () => {
    await createSlot(client, slot)
    const before = await checkSlot(client, slot)
    await db.query(`SELECT pg_logical_emit_message(true, 'noise', repeat('x', 100000))`)
    const after = await checkSlot(client, slot)
    expect(after.lagBytes! - before.lagBytes!).toBeGreaterThanOrEqual(100_000)
    expect(after.retainedBytes!).toBeGreaterThanOrEqual(after.lagBytes!)
  })

  test('is not there', async () => {
    expect(await inspectSlot(client, slot)).toBeNull()
    await expect(checkSlot(client, slot)).rejects.toMatchObject({
      code: 'SLOT_MISSING',
      hint: /safetykit-sync migrate/,
    })
  })

  test('is physical', async () => {
    await db.query('SELECT pg_create_physical_replication_slot($1)', [slot])
    await expect(checkSlot(client, slot)).rejects.toMatchObject({ code: 'SLOT_FOREIGN' })
    await expect(createSlot(client, slot)).rejects.toMatchObject({ code: 'SLOT_FOREIGN' })
  })

  test('belongs to another database', async () => {
    const other = await createDatabase()
    await other.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot])
    const error = await checkSlot(client, slot).catch((e: unknown) => e)
    await other.query('SELECT pg_drop_replication_slot($1)', [slot])
    await other.drop()
    expect(error).toMatchObject({ code: 'SLOT_FOREIGN', message: expect.stringContaining(other.name) })
  })

  test('is in use', async () => {
    await createSlot(client, slot)
    const recorder = new Recorder()
    const stream = openWalStream({
      connection: { connectionString: db.url },
      slot,
      publication: 'p',
      consumer: recorder,
    })
    await soon(() => expect(recorder.starts).toBe(1))
    await expect(checkSlot(client, slot)).rejects.toMatchObject({ code: 'SLOT_IN_USE', retryable: true })
    expect(await createSlot(client, slot)).toBe(false)
    await stream.stop()
    await soon(() => checkSlot(client, slot))
  })

  test('waits for a long transaction only so long, and says who holds it up', async () => {
    const writer = await db.client()
    await writer.query('BEGIN; INSERT INTO items VALUES (1)')
    await expect(createSlot(client, slot, { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'DATABASE_UNFIT',
      retryable: true,
      hint: expect.stringContaining('pg_stat_activity'),
    })
    await writer.query('ROLLBACK')
    expect(await createSlot(client, slot)).toBe(true)
  })
})

describe('a server that cannot serve', () => {
  async function on(server: OwnServer, work: (admin: pg.Client) => Promise<void>, url = server.url()): Promise<void> {
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    try {
      await work(admin)
    } finally {
      await admin.end()
    }
  }

  test('wal_level is not logical', async () => {
    const server = await ownServer({ flags: { wal_level: 'replica' } })
    try {
      await on(server, async (admin) => {
        await expect(checkServer(admin, 's')).rejects.toMatchObject({
          code: 'DATABASE_UNFIT',
          hint: expect.stringContaining('ALTER SYSTEM SET wal_level = logical;'),
        })
        await expect(createSlot(admin, 's')).rejects.toMatchObject({
          code: 'DATABASE_UNFIT',
          hint: expect.stringContaining('wal_level'),
        })
      })
    } finally {
      await server.remove()
    }
  })

  test('slots, WAL senders and the right to replicate are all wanting, and told together', async () => {
    const server = await ownServer({ flags: { max_replication_slots: '1', max_wal_senders: '1' } })
    try {
      await on(server, async (admin) => {
        await admin.query(`CREATE TABLE items (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE items`)
        await admin.query(`CREATE ROLE "Reader" LOGIN PASSWORD 'x'`)
        await createSlot(admin, 'other')
        await expect(createSlot(admin, 's')).rejects.toMatchObject({
          code: 'DATABASE_UNFIT',
          hint: expect.stringContaining('max_replication_slots'),
        })
        const recorder = new Recorder()
        const stream = openWalStream({
          connection: { connectionString: server.url() },
          slot: 'other',
          publication: 'p',
          consumer: recorder,
        })
        await soon(() => expect(recorder.starts).toBe(1))
        const url = new URL(server.url())
        url.username = 'Reader'
        url.password = 'x'
        await on(
          server,
          async (reader) => {
            const error: { code: string; message: string; hint: string } = await checkServer(reader, 's').then(
              () => expect.unreachable(),
              (e) => e,
            )
            expect(error.code).toBe('DATABASE_UNFIT')
            expect(error.hint).toContain('ALTER ROLE "Reader" REPLICATION;')
            expect(error.hint).toContain('max_replication_slots')
            expect(error.hint).toContain('max_wal_senders')
          },
          url.href,
        )
        // Whoever asks about the slot that is being read lacks neither.
        expect(await checkServer(admin, 'other')).toMatchObject({ slot: 'active' })
        await stream.stop()
      })
    } finally {
      await server.remove()
    }
  })

  test('membership in the role by which a managed service grants replication is enough', async () => {
    const server = await ownServer()
    try {
      await on(server, (admin) =>
        admin.query(`CREATE ROLE rds_replication; CREATE ROLE member LOGIN PASSWORD 'x'`).then(() => {}),
      )
      const url = new URL(server.url())
      url.username = 'member'
      url.password = 'x'
      await on(
        server,
        async (member) => {
          await expect(checkServer(member, 's')).rejects.toMatchObject({ hint: 'GRANT "rds_replication" TO "member";' })
          await on(server, (admin) => admin.query('GRANT "rds_replication" TO "member"').then(() => {}))
          expect(await checkServer(member, 's')).toMatchObject({ mayReplicate: true })
        },
        url.href,
      )
    } finally {
      await server.remove()
    }
  })

  test('a slot that the server has given up is SLOT_LOST, and the way back is told', async () => {
    const server = await ownServer({
      flags: { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' },
    })
    try {
      await on(server, async (admin) => {
        await admin.query(`CREATE TABLE items (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE items`)
        await createSlot(admin, 's')
        await soon(async () => {
          await admin.query(
            `SELECT pg_logical_emit_message(false, '', repeat('x', 20000000)); SELECT pg_switch_wal(); CHECKPOINT`,
          )
          expect((await inspectSlot(admin, 's'))?.walStatus).toBe('lost')
        })
        const lost = { code: 'SLOT_LOST', hint: expect.stringContaining('pg_drop_replication_slot') }
        await expect(checkSlot(admin, 's')).rejects.toMatchObject(lost)
        const stream = openWalStream({
          connection: { connectionString: server.url() },
          slot: 's',
          publication: 'p',
          consumer: new Recorder(),
        })
        await expect(stream.done).rejects.toMatchObject(lost)
      })
    } finally {
      await server.remove()
    }
  })
})
