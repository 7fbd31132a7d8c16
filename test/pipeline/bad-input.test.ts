import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { explainingDatabase } from '../../src/database-errors.js'
import { SyncError } from '../../src/errors.js'
import { migrate, startPipeline } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { createRig, type Rig, rigForTest } from '../support/pipeline.js'
import { type OwnServer, ownServer } from '../support/postgres.js'
import { soon } from '../support/soon.js'

const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text); CREATE TABLE nokey (id integer, title text);
  CREATE SCHEMA shop; CREATE TABLE shop.orders (id integer PRIMARY KEY, note text); CREATE VIEW seen AS SELECT * FROM products;
  CREATE UNLOGGED TABLE fast (id integer PRIMARY KEY, title text);
  CREATE TABLE nameless (id integer PRIMARY KEY, title text); ALTER TABLE nameless REPLICA IDENTITY NOTHING`
const products = { namespace: 'products', fields: { title: true } } as const
const tables = { 'public.products': products }
const secretTitle = 'a title that is nobody’s business'
const apiKey = 'sk_live_0123456789'

/** What was thrown: a `SyncError` with a hint, which holds no secret and no value. */
async function failureOf(work: Promise<unknown>, secrets: readonly string[] = []): Promise<SyncError> {
  const error = await work.then(
    () => new Error('it did not fail'),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(SyncError)
  const told = error as SyncError
  expect(`${told.message} ${told.hint ?? ''}`).toMatch(/\S/)
  for (const secret of [secretTitle, apiKey, ...secrets]) {
    expect(`${told.message}\n${told.hint}\n${String(told.stack)}`).not.toContain(secret)
  }
  return told
}

const passwordOf = (url: string): string => `:${new URL(url).password}@`

describe('a mapping that does not fit the database', () => {
  let rig: Rig
  beforeAll(async () => {
    rig = await createRig({ sql, tables })
  })
  afterAll(() => rig.close())

  test.each([
    [
      'an unknown table, with the nearest name',
      'public.product',
      products,
      'CONFIG_INVALID',
      /did you mean products\?/,
    ],
    ['a table in another case', 'public.Products', products, 'CONFIG_INVALID', /products.*case/],
    [
      'a table in another schema',
      'public.orders',
      { namespace: 'o', fields: { total: true } },
      'CONFIG_INVALID',
      /shop\.orders/,
    ],
    ['an unknown schema', 'nowhere.products', products, 'CONFIG_INVALID', /public\.products/],
    [
      'an unknown column',
      'public.products',
      { namespace: 'p', fields: { titel: true } },
      'CONFIG_INVALID',
      /mean title\?/,
    ],
    [
      'an unknown id column',
      'public.products',
      { ...products, id: 'slug' },
      'CONFIG_INVALID',
      /columns are: id, title/,
    ],
    [
      'an id column that can be null',
      'public.products',
      { ...products, id: 'title' },
      'CONFIG_INVALID',
      /SET NOT NULL/,
    ],
    ['a table without a primary key', 'public.nokey', products, 'TABLE_UNFIT', /ADD PRIMARY KEY \("id"\)/],
    ['a view', 'public.seen', products, 'TABLE_UNFIT', /tables behind it/],
    ['an unlogged table', 'public.fast', products, 'TABLE_UNFIT', /SET LOGGED/],
    ['a table without a replica identity', 'public.nameless', products, 'TABLE_UNFIT', /REPLICA IDENTITY DEFAULT/],
  ] as const)('%s: is told by start and by migrate', async (_, table, mapping, code, hint) => {
    const mapped = { tables: { [table]: mapping } }
    for (const work of [() => rig.start(mapped), () => rig.migrate(mapped)]) {
      const error = await failureOf(work())
      expect(error.message).toMatch(hint)
      expect(error.code).toBe(code)
    }
  })

  test('all mistakes are told together', async () => {
    const mapped = {
      tables: {
        'public.product': products,
        'public.products': { namespace: 'p', fields: { titel: true } },
        'public.nokey': { namespace: 'n', fields: { title: true } },
      },
    }
    const error = await failureOf(rig.start(mapped))
    for (const words of ['public.product does not exist', 'no column titel', 'has no primary key']) {
      expect(error.message).toContain(words)
    }
  })
})

describe('a database that is not prepared', () => {
  test.each([
    [
      'the slot is missing',
      (rig: Rig) => `SELECT pg_drop_replication_slot('${rig.db.name}')`,
      'SLOT_MISSING',
      /migrate/,
    ],
    [
      'the slot is of another plugin',
      (rig: Rig) => `SELECT pg_drop_replication_slot('${rig.db.name}');
        SELECT pg_create_logical_replication_slot('${rig.db.name}', 'test_decoding')`,
      'SLOT_FOREIGN',
      /slot\.name/,
    ],
    [
      'the slot is physical',
      (rig: Rig) => `SELECT pg_drop_replication_slot('${rig.db.name}');
        SELECT pg_create_physical_replication_slot('${rig.db.name}')`,
      'SLOT_FOREIGN',
      /slot\.name/,
    ],
    ['the publication is missing', () => 'DROP PUBLICATION safetykit', 'PUBLICATION_UNFIT', /CREATE PUBLICATION/],
    [
      'the publication has lost a table',
      () => 'ALTER PUBLICATION safetykit DROP TABLE products',
      'PUBLICATION_UNFIT',
      /ADD TABLE ONLY "public"."products"/,
    ],
    [
      'the publication was given a row filter',
      () => 'ALTER PUBLICATION safetykit SET TABLE products WHERE (id > 5)',
      'PUBLICATION_UNFIT',
      /safetykit-sync migrate/,
    ],
    [
      'the publication leaves deletes out',
      () => "ALTER PUBLICATION safetykit SET (publish = 'insert, update')",
      'PUBLICATION_UNFIT',
      /publish = 'insert, update, delete, truncate'/,
    ],
    ['the side tables are missing', () => 'DROP SCHEMA safetykit CASCADE', 'SCHEMA_OUTDATED', /migrate/],
    [
      'the side tables are newer',
      () => "INSERT INTO safetykit.migrations (version, name) VALUES (999, 'from the future')",
      'SCHEMA_NEWER',
      /[Uu]pgrade/,
    ],
  ] as const)('%s', async (_, change, code, hint) => {
    const rig = await rigForTest({ sql, tables, start: false })
    for (const statement of change(rig).split(';\n')) await rig.db.query(statement)
    const stops = { settings: { slot: { name: rig.db.name, onLost: 'stop' } } } as const
    const error = await failureOf(rig.start(stops), [passwordOf(rig.db.url)])
    expect(error.code).toBe(code)
    expect(error.hint).toMatch(hint)
    if (code === 'PUBLICATION_UNFIT' || code === 'SCHEMA_OUTDATED' || code === 'SLOT_MISSING') {
      await rig.migrate()
      await rig.start()
      await rig.db.query("INSERT INTO products VALUES (10, 'x')")
      await rig.caughtUp()
      expect(rig.sent('products')).toEqual({ 10: { id: '10', title: 'x' } })
    }
    await rig.db.query(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
      WHERE slot_name = '${rig.db.name}' AND slot_type = 'physical'`)
  })

  test('a slot that is in use is waited for, and taken over', async () => {
    const rig = await rigForTest({ sql, tables })
    await rig.db.query("INSERT INTO products VALUES (1, 'a')")
    await rig.caughtUp()
    const first = rig.pipeline
    const second = await rig.start()
    const waiting = () => rig.logged('warn').filter(({ message }) => message.includes('waiting'))
    await soon(() => expect(waiting()).not.toEqual([]))
    await first.stop()
    await rig.db.query("INSERT INTO products VALUES (2, 'b')")
    await rig.caughtUp()
    expect(second.counts.accepted).toBe(1)
    expect(Object.keys(rig.sent('products'))).toEqual(['1', '2'])
  })

  test('a slot that is dropped while it is read stops the sidecar with what to do, where that is asked for', async () => {
    const rig = await rigForTest({ sql, tables, start: false })
    await rig.start({ settings: { slot: { name: rig.db.name, onLost: 'stop' } } })
    await rig.db.query("INSERT INTO products VALUES (1, 'a')")
    await rig.caughtUp()
    const { done } = rig.pipeline
    await soon(async () => {
      await rig.db.query(
        `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${rig.db.name}'`,
      )
      await rig.db.query(`SELECT pg_drop_replication_slot('${rig.db.name}')`)
    })
    const error = await failureOf(done)
    expect(error.code).toBe('SLOT_MISSING')
    expect(error.hint).toContain('migrate')
  })
})

describe('a server that cannot serve', () => {
  let server: OwnServer
  beforeAll(async () => {
    server = await ownServer({ flags: { wal_level: 'replica' } })
  })
  afterAll(() => server.remove())

  test('wal_level is not logical', async () => {
    const client = new pg.Client({ connectionString: server.url() })
    await client.connect()
    await client.query('CREATE TABLE products (id integer PRIMARY KEY, title text)')
    const { resolved } = defineSync({ capture: 'replication', tables })
    const options = { resolved, databaseUrl: server.url(), apiKey, baseUrl: 'http://127.0.0.1:9' }
    const expectUnfit = async (work: Promise<unknown>): Promise<void> => {
      const error = await failureOf(work, [passwordOf(server.url())])
      expect(error.code).toBe('DATABASE_UNFIT')
      expect(error.message).toContain('wal_level is replica')
      expect(error.hint).toContain('ALTER SYSTEM SET wal_level = logical')
    }
    await expectUnfit(migrate(options))
    // Nothing was made before it failed.
    const { rows } = await client.query("SELECT to_regnamespace('safetykit') AS made")
    expect(rows).toEqual([{ made: null }])
    // Capture by triggers needs none of it.
    await migrate({ ...options, resolved: { ...resolved, capture: 'trigger' } })
    await expectUnfit(startPipeline(options))
    await client.end()
  })
})

describe('a database that cannot be reached', () => {
  const startAt = (databaseUrl: string) => {
    const { resolved } = defineSync({ capture: 'replication', tables })
    return startPipeline({ resolved, databaseUrl, apiKey, baseUrl: 'http://127.0.0.1:9' })
  }

  test.each([
    ['nobody listens', (url: URL) => Object.assign(url, { port: '9' })],
    ['the password is wrong', (url: URL) => Object.assign(url, { password: 'hunter2' })],
    ['the role does not exist', (url: URL) => Object.assign(url, { username: 'nobody_of_this_name' })],
    ['the database does not exist', (url: URL) => Object.assign(url, { pathname: '/no_such_database' })],
  ] as const)('%s', async (_, change) => {
    const rig = await rigForTest({ sql, tables, start: false })
    const url = change(new URL(rig.db.url))
    const works: readonly (() => Promise<unknown>)[] = [
      () => startAt(url.href),
      () => rig.migrate({ databaseUrl: url.href }),
    ]
    for (const work of works) {
      // As the command does it: an error of the driver is explained where it is shown.
      const error = await failureOf(explainingDatabase(url.href, work), [passwordOf(url.href), 'hunter2'])
      expect(error.code).toBe('DATABASE_UNREACHABLE')
      expect(error.hint).toMatch(/\S/)
    }
  })

  test('the role may not replicate', async () => {
    const rig = await rigForTest({ sql, tables, start: false })
    const role = `plain_${rig.db.name}`
    await rig.db.query(`CREATE ROLE ${role} LOGIN PASSWORD 'hunter2'; GRANT ALL ON ALL TABLES IN SCHEMA public, safetykit TO ${role};
      GRANT USAGE ON SCHEMA safetykit TO ${role}`)
    onTestFinished(async () => {
      await rig.db.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
    }, 10_000)
    const url = Object.assign(new URL(rig.db.url), { username: role, password: 'hunter2' })
    const error = await failureOf(rig.start({ databaseUrl: url.href }), ['hunter2'])
    expect(error.code).toBe('DATABASE_UNFIT')
    expect(error.hint).toContain(`ALTER ROLE "${role}" REPLICATION`)
  })
})

describe('a key that the API refuses', () => {
  test.each([401, 403])('%i: it stops, nothing is acked, and the right key delivers everything', async (status) => {
    const rig = await rigForTest({ sql, tables, emulator: { apiKey } })
    await rig.db.query("INSERT INTO products VALUES (1, 'a')")
    await rig.caughtUp()
    await rig.stop()
    const { done } = await rig.start()
    const fault = rig.emulator.faults.add({ when: { path: 'add' }, do: { status } })
    await rig.db.query('INSERT INTO products SELECT i, $1 FROM generate_series(2, 500) AS i', [secretTitle])
    const { rows } = await rig.db.query('SELECT pg_current_wal_flush_lsn()::text AS lsn')
    const error = await failureOf(done)
    expect(error.code).toBe('API_UNAUTHORIZED')
    expect(error.hint).toContain('SAFETYKIT_API_KEY')
    const slot = await rig.db.query(
      'SELECT confirmed_flush_lsn < $2::pg_lsn AS behind FROM pg_replication_slots WHERE slot_name = $1',
      [rig.db.name, rows[0]?.lsn],
    )
    expect(slot.rows).toEqual([{ behind: true }])
    expect(JSON.stringify(rig.log)).not.toContain(apiKey)
    fault.remove()
    await rig.stop()
    await rig.start()
    await rig.caughtUp()
    expect(rig.emulator.objects('products').size).toBe(500)
  })

  test('a wrong key is told at the first start, before anything is read', async () => {
    const rig = await rigForTest({ sql, tables, start: false })
    await rig.db.query("INSERT INTO products VALUES (1, 'a')")
    const { done } = await rig.start({ apiKey: 'sk_wrong_key' })
    const error = await failureOf(done, ['sk_wrong_key'])
    expect(error.code).toBe('API_UNAUTHORIZED')
    await rig.start()
    await rig.caughtUp()
    expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'a' } })
  })
})
