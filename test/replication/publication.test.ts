import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkPublication, ensurePublication } from '../../src/capture/replication/publication.js'
import type { WantedPublication, WantedTable } from '../../src/capture/replication/publication-plan.js'
import { openWalStream } from '../../src/capture/replication/wal-stream.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { Recorder } from './recorder.js'

let db: TestDatabase
let client: pg.Client

beforeAll(async () => {
  db = await createDatabase({
    sql: `
      CREATE TABLE items (id int PRIMARY KEY, title text, secret text);
      CREATE SCHEMA "Shop";
      CREATE TABLE "Shop"."My ""Table""" ("Id" int PRIMARY KEY, "Price" numeric);
      CREATE TABLE events (id int, day date, body text, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
      CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
      CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
      CREATE TABLE keyless (id int);
      CREATE TABLE fulls (id int, body text); ALTER TABLE fulls REPLICA IDENTITY FULL;
      CREATE TABLE generated (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
      CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE, body text);`,
  })
})
afterAll(() => db.drop())
beforeEach(async () => {
  client = await db.client()
})
afterEach(() => db.query('DROP PUBLICATION IF EXISTS p'))

const table = (name: string, columns: readonly string[] | null = null, schema = 'public'): WantedTable => ({
  schema,
  name,
  columns,
})
const wanted = (...tables: WantedTable[]): WantedPublication => ({ name: 'p', tables })

async function published(): Promise<Record<string, string[]>> {
  const { rows } = await db.query<{ name: string; columns: string[] }>(
    `SELECT schemaname || '.' || tablename AS name, attnames::text[] AS columns FROM pg_publication_tables WHERE pubname = 'p'`,
  )
  return Object.fromEntries(rows.map(({ name, columns }) => [name, columns]))
}

describe('the publication', () => {
  test('is created, fits afterwards, and is left alone by a second run', async () => {
    const all = wanted(table('items'), table('My "Table"', null, 'Shop'), table('events'))
    expect((await checkPublication(client, all)).map(({ code }) => code)).toEqual(['PUBLICATION_UNFIT'])
    expect(await ensurePublication(client, all)).toHaveLength(1)
    expect(Object.keys(await published()).sort()).toEqual(['Shop.My "Table"', 'public.events', 'public.items'])
    expect(await checkPublication(client, all)).toEqual([])
    expect(await ensurePublication(client, all)).toEqual([])
  })

  test('follows the mapping: tables come and go, column lists change; the SQL of a finding is what mends it', async () => {
    await ensurePublication(client, wanted(table('items'), table('events')))
    const changed = wanted(table('items', ['title']), table('My "Table"', ['Price'], 'Shop'))
    const findings = await checkPublication(client, changed)
    for (const { code, sql } of findings) {
      expect(code).toBe('PUBLICATION_UNFIT')
      await db.query(sql!)
    }
    expect(await published()).toEqual({ 'public.items': ['id', 'title'], 'Shop.My "Table"': ['Id', 'Price'] })
    expect(await ensurePublication(client, changed)).toEqual([])
  })

  test('of a column list always has the columns of the replica identity, or updates would fail in the application', async () => {
    await ensurePublication(
      client,
      wanted(table('items', ['title']), table('events', ['body']), table('fulls', ['id'])),
    )
    expect(await published()).toEqual({
      'public.items': ['id', 'title'],
      'public.events': ['id', 'day', 'body'],
      // A full identity takes all columns.
      'public.fulls': ['id', 'body'],
    })
    await db.query(
      `INSERT INTO items VALUES (1, 'a', 's'); UPDATE items SET secret = 't' WHERE id = 1; DELETE FROM items`,
    )
    await db.query(`INSERT INTO fulls VALUES (1, 'a'); UPDATE fulls SET body = 'b'; DELETE FROM fulls`)
  })

  test('does not list what the server cannot list', async () => {
    await ensurePublication(client, wanted(table('generated', ['a', 'twice'])))
    expect((await published())['public.generated']).toEqual(expect.arrayContaining(['id', 'a']))
  })

  test('made with lists keeps the other columns inside the database', async () => {
    await ensurePublication(client, wanted(table('items', ['title'])))
    await db.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [db.name])
    await db.query(`INSERT INTO items VALUES (1, 'a', 'hidden')`)
    const recorder = new Recorder()
    const stream = openWalStream({
      connection: { connectionString: db.url },
      slot: db.name,
      publication: 'p',
      consumer: recorder,
    })
    await soon(() => expect(recorder.rows).toHaveLength(1))
    await stream.stop()
    await db.query('SELECT pg_drop_replication_slot($1)', [db.name])
    expect(recorder.rows[0]?.message.relation.columns.map(({ name }) => name)).toEqual(['id', 'title'])
    expect(recorder.rows[0]?.message.cells).toEqual(['1', 'a'])
  })

  test('sends the rows of partitions under the name of their root, of partitions made later as well', async () => {
    await ensurePublication(client, wanted(table('events')))
    await db.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [db.name])
    await db.query(`CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')`)
    await db.query(`INSERT INTO events VALUES (1, '2025-05-05'), (2, '2026-06-06'), (3, '2027-07-07')`)
    await db.query(`UPDATE events SET day = '2026-01-01' WHERE id = 1`)
    const recorder = new Recorder()
    const stream = openWalStream({
      connection: { connectionString: db.url },
      slot: db.name,
      publication: 'p',
      consumer: recorder,
    })
    // A row that moves to another partition is a delete and an insert.
    await soon(() => expect(recorder.rows).toHaveLength(5))
    await stream.stop()
    await db.query('SELECT pg_drop_replication_slot($1)', [db.name])
    expect(new Set(recorder.rows.map(({ message }) => message.relation.name))).toEqual(new Set(['events']))
  })

  test('of all tables is taken as it is, but for its options', async () => {
    await db.query('CREATE PUBLICATION p FOR ALL TABLES')
    expect(await ensurePublication(client, wanted(table('items')))).toEqual([
      expect.stringContaining('publish_via_partition_root = true'),
    ])
    expect(await checkPublication(client, wanted(table('items'), table('events')))).toEqual([])
    await expect(ensurePublication(client, wanted(table('items', ['title'])))).rejects.toMatchObject({
      code: 'PUBLICATION_UNFIT',
      hint: expect.stringContaining('DROP PUBLICATION "p";'),
    })
  })

  test('is made once by eight processes at once', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => db.client()))
    const runs = await Promise.all(clients.map((c) => ensurePublication(c, wanted(table('items'), table('events')))))
    expect(runs.flat()).toHaveLength(1)
    expect(await checkPublication(client, wanted(table('items'), table('events')))).toEqual([])
  })

  test('waits for a lock a while, again and again, and then says who holds it; nothing is left half done', async () => {
    const holder = await db.client()
    await holder.query('BEGIN; LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE')
    const all = wanted(table('items'), table('events'))
    await expect(ensurePublication(client, all, { lockTimeoutMs: 50, attempts: 3 })).rejects.toMatchObject({
      code: 'PUBLICATION_UNFIT',
      retryable: true,
      hint: expect.stringContaining('pg_stat_activity'),
    })
    expect(await published()).toEqual({})
    const waiting = ensurePublication(client, all, { lockTimeoutMs: 200, attempts: 100 })
    // Readers and writers do not stand in the queue behind it.
    await db.query(`SET lock_timeout = '10s'; INSERT INTO events VALUES (9, '2025-01-09'); RESET lock_timeout`)
    await holder.query('COMMIT')
    expect(await waiting).toHaveLength(1)
  })
})

describe('a table that cannot be published', () => {
  test('has no replica identity, so that its updates would fail in the application', async () => {
    for (const name of ['keyless', 'deferred']) {
      await expect(ensurePublication(client, wanted(table(name), table('items')))).rejects.toMatchObject({
        code: 'TABLE_UNFIT',
        hint: expect.stringContaining(`ALTER TABLE public.${name} `),
      })
    }
    expect(await published()).toEqual({})
  })

  test('has a partition without one', async () => {
    await db.query('ALTER TABLE events_2026 REPLICA IDENTITY NOTHING')
    const findings = await checkPublication(client, wanted(table('events')))
    await db.query('ALTER TABLE events_2026 REPLICA IDENTITY DEFAULT')
    expect(findings[0]).toMatchObject({ code: 'TABLE_UNFIT', message: expect.stringContaining('events_2026') })
  })

  test('does not exist', async () => {
    await expect(ensurePublication(client, wanted(table('Items')))).rejects.toMatchObject({
      code: 'TABLE_UNFIT',
      message: expect.stringContaining('"public"."Items"'),
    })
  })

  test('belongs to someone else: the owner is named, with the SQL to run', async () => {
    const role = `migrator_${db.name}`
    await db.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE ${db.name} TO ${role}`)
    const url = new URL(db.url)
    url.username = role
    url.password = 'x'
    const migrator = new pg.Client({ connectionString: url.href })
    await migrator.connect()
    const error: unknown = await ensurePublication(migrator, wanted(table('items'))).catch((e: unknown) => e)
    await migrator.end()
    await db.query(`REVOKE ALL ON DATABASE ${db.name} FROM ${role}; DROP ROLE ${role}`)
    expect(error).toMatchObject({
      code: 'DATABASE_UNFIT',
      message: expect.stringContaining('"public"."items" (owner '),
      hint: expect.stringContaining('CREATE PUBLICATION "p" FOR TABLE ONLY "public"."items"'),
    })
  })
})
