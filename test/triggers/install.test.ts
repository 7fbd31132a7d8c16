import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ensureTriggers } from '../../src/capture/triggers/ensure.js'
import { SyncError } from '../../src/errors.js'
import { type LogFields, type Logger, silentLogger } from '../../src/logger.js'
import { Sources } from '../../src/pipeline/sources.js'
import { wantedCapture } from '../../src/pipeline/triggers.js'
import { defineSync } from '../../src/sync.js'
import { soon } from '../support/soon.js'
import { type CaptureRig, captureForTest } from './rig.js'

const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text, n integer DEFAULT 0);
  CREATE TABLE sellers (id integer PRIMARY KEY, name text);
  INSERT INTO products SELECT n, 'title' FROM generate_series(1, 100) AS n`
const products = { namespace: 'products', fields: { title: true } }
const tables = { 'public.products': products, 'public.sellers': { namespace: 'sellers', fields: { name: true } } }
const made = ['Made the triggers of public.products', 'Made the triggers of public.sellers']

function listening(): { readonly logger: Logger; readonly warnings: { message: string; fields: LogFields }[] } {
  const warnings: { message: string; fields: LogFields }[] = []
  return { warnings, logger: { ...silentLogger, warn: (message, fields = {}) => warnings.push({ message, fields }) } }
}

const triggersOf = async (rig: CaptureRig): Promise<string[]> =>
  (
    await rig.db.query<{ name: string }>(
      `SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) AS name FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1`,
    )
  ).rows.map(({ name }) => name)

describe('migrate', () => {
  test('makes side tables and triggers, and does nothing the second time', async () => {
    const rig = await captureForTest({ sql, tables, migrate: false })
    const done = await rig.migrate()
    expect(done[0]).toContain('side tables')
    expect(done.slice(-2)).toEqual(made)
    expect(await rig.captured()).toEqual([])
    expect(await rig.check()).toEqual([])
    expect(await rig.migrate()).toEqual([])
    expect(await triggersOf(rig)).toEqual([
      'products safetykit_insert A',
      'products safetykit_update A',
      'sellers safetykit_insert A',
      'sellers safetykit_update A',
    ])
  })

  test('needs no wal_level, no slot and no REPLICATION attribute: the owner of the tables is enough', async () => {
    const rig = await captureForTest({ sql, tables, migrate: false })
    const role = `owner_${rig.db.name}`
    await rig.db.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; ALTER TABLE products OWNER TO ${role};
      ALTER TABLE sellers OWNER TO ${role}; GRANT CREATE ON DATABASE ${rig.db.name} TO ${role}`)
    onTestFinished(async () => {
      await rig.db.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
    })
    const databaseUrl = Object.assign(new URL(rig.db.url), { username: role, password: 'x' }).href
    expect((await rig.migrate({ databaseUrl })).slice(-2)).toEqual(made)
    expect(await rig.check({ databaseUrl })).toEqual([])
  })

  test('says who owns the table where the role does not', async () => {
    const rig = await captureForTest({ sql, tables, migrate: false })
    const role = `other_${rig.db.name}`
    await rig.db.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; GRANT ALL ON products, sellers TO ${role};
      GRANT CREATE ON DATABASE ${rig.db.name} TO ${role}`)
    onTestFinished(async () => {
      await rig.db.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
    })
    const databaseUrl = Object.assign(new URL(rig.db.url), { username: role, password: 'x' }).href
    const error = await rig.migrate({ databaseUrl }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(SyncError)
    expect(error).toMatchObject({ code: 'DATABASE_UNFIT' })
    expect((error as SyncError).message).toContain('owner postgres')
    expect((error as SyncError).hint).toContain('CREATE TRIGGER')
  })

  test('several at once make everything once', async () => {
    const rig = await captureForTest({ sql, tables, migrate: false })
    const done = (await Promise.all([1, 2, 3, 4].map(() => rig.migrate()))).flat()
    expect(done.filter((sentence) => sentence.startsWith('Made the triggers')).sort()).toEqual(made)
    expect(await rig.check()).toEqual([])
  })

  test('drops what is no longer mapped, and nothing else', async () => {
    const rig = await captureForTest({ sql, tables })
    await rig.db.query(`CREATE FUNCTION safetykit.mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
      CREATE TRIGGER mine AFTER INSERT ON sellers FOR EACH ROW EXECUTE FUNCTION safetykit.mine()`)
    const fewer = { tables: { 'public.products': products } }
    const findings = await rig.check(fewer)
    expect(findings.map(({ source }) => source)).toEqual(['public.sellers'])
    expect(await rig.migrate(fewer)).toEqual([
      'Dropped the triggers safetykit_insert, safetykit_update of public.sellers',
    ])
    expect(await rig.check(fewer)).toEqual([])
    expect(await triggersOf(rig)).toEqual([
      'products safetykit_insert A',
      'products safetykit_update A',
      'sellers mine O',
    ])
  })

  test('two syncs with a schema each capture the same table', async () => {
    const rig = await captureForTest({ sql, tables })
    const other = { settings: { schema: 'Other "one"' } }
    expect((await rig.migrate(other)).slice(-2)).toEqual(made)
    expect(await rig.migrate()).toEqual([])
    expect(await rig.check(other)).toEqual([])
    await rig.db.query('UPDATE products SET title = NULL WHERE id = 1')
    expect((await rig.captured()).length).toBe(1)
    expect((await rig.db.query('SELECT FROM "Other ""one""".dirty')).rowCount).toBe(1)
  })

  test.each([
    ['client', []],
    ['replication', ['slot']],
  ] as const)("from 'trigger' to '%s' and back", async (capture, leaves) => {
    const rig = await captureForTest({ sql, tables })
    const { logger, warnings } = listening()
    const done = await rig.migrate({ settings: { capture } })
    expect(done.slice(-2)).toEqual([
      'Dropped the triggers safetykit_insert, safetykit_update of public.products',
      'Dropped the triggers safetykit_insert, safetykit_update of public.sellers',
    ])
    expect(await triggersOf(rig)).toEqual([])
    const functions = await rig.db.query("SELECT FROM pg_proc WHERE pronamespace = 'safetykit'::regnamespace")
    expect(functions.rowCount).toBe(0)
    expect(await rig.migrate({ settings: { capture } })).toEqual([])

    expect(await rig.migrate({ logger })).toEqual(made)
    expect(warnings.length).toBe(leaves.length)
    for (const { fields } of warnings) {
      expect(fields.slot).toBe(rig.db.name)
      expect(fields.hint).toContain(`SELECT pg_drop_replication_slot('${rig.db.name}')`)
    }
  })
})

describe('triggers that were away', () => {
  const known = `INSERT INTO safetykit.objects (namespace, object_id, source, state)
    VALUES ('products', '1', 'public.products', 'accepted')`

  test.each([
    ['dropped', 'DROP TRIGGER safetykit_update ON products', 'does not exist'],
    ['disabled', 'ALTER TABLE products DISABLE TRIGGER ALL', 'is disabled'],
    ['enabled for some writers', 'ALTER TABLE products ENABLE TRIGGER safetykit_insert', 'not enabled for all writers'],
    [
      'replaced',
      `CREATE OR REPLACE TRIGGER safetykit_update AFTER UPDATE OF title ON products FOR EACH ROW
       EXECUTE FUNCTION safetykit."public.products.update"()`,
      'is another one',
    ],
  ])('%s: told, made again, and the table is marked if it was captured before', async (_, change, message) => {
    const rig = await captureForTest({ sql, tables })
    const again = async (): Promise<readonly string[]> => {
      await rig.db.query(change)
      const [finding, ...more] = await rig.check()
      expect(more).toEqual([])
      expect(finding?.message).toContain(message)
      return rig.migrate()
    }
    expect(await again()).toEqual(['Made the triggers of public.products'])
    expect(await rig.captured()).toEqual([])
    await rig.db.query(known)
    expect((await again()).length).toBe(2)
    expect(await rig.captured()).toEqual([{ source: 'public.products', key: null }])
    expect(await rig.check()).toEqual([])
  })

  test('a function that was replaced by hand is told and mended', async () => {
    const rig = await captureForTest({ sql, tables })
    await rig.db.query(`CREATE OR REPLACE FUNCTION safetykit."public.products.update"() RETURNS trigger LANGUAGE plpgsql
      AS 'BEGIN RETURN NULL; END'`)
    expect((await rig.check())[0]?.message).toContain('functions of public.products do not fit')
    expect(await rig.migrate()).toEqual(['Replaced the trigger functions of public.products'])
    expect(await rig.check()).toEqual([])
    expect((await rig.during(() => rig.db.query('UPDATE products SET title = NULL'))).length).toBe(100)
  })

  test('a role that may do nothing can check', async () => {
    const rig = await captureForTest({ sql, tables })
    const role = `nobody_${rig.db.name}`
    await rig.db.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; REVOKE ALL ON SCHEMA safetykit FROM PUBLIC`)
    onTestFinished(async () => {
      await rig.db.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
    })
    const databaseUrl = Object.assign(new URL(rig.db.url), { username: role, password: 'x' }).href
    expect(await rig.check({ databaseUrl })).toEqual([])
    await rig.db.query('ALTER TABLE products DISABLE TRIGGER safetykit_update')
    expect((await rig.check({ databaseUrl })).length).toBe(1)
  })

  test('the side schema is not there: every table is told', async () => {
    const rig = await captureForTest({ sql, tables, migrate: false })
    expect((await rig.check()).map(({ source }) => source)).toEqual(['public.products', 'public.sellers'])
  })
})

describe('a table that is in use', () => {
  test('migrate waits beside a long transaction without holding other writers up, and says for whom', async () => {
    const rig = await captureForTest({ sql, tables, migrate: false })
    const { logger, warnings } = listening()
    const long = await rig.db.client()
    const { rows } = await long.query('SELECT pg_backend_pid() AS pid')
    await long.query("BEGIN; UPDATE products SET title = 'long' WHERE id = 1")
    let ended = false
    const migrating = rig.migrate({ logger }).finally(() => {
      ended = true
    })
    await soon(() => expect(warnings.length).toBe(1))
    expect(warnings[0]?.fields).toMatchObject({ table: 'public.products', pid: rows[0].pid })

    // Over several attempts: each writer gets through, and most looks find nobody in the queue.
    const writer = await rig.db.client()
    await writer.query("SET lock_timeout = '30s'")
    let queued = 0
    const looks = 60
    for (let look = 0; look < looks; look += 1) {
      const waiting = await rig.db.query("SELECT FROM pg_locks WHERE relation = 'products'::regclass AND NOT granted")
      if (waiting.rowCount !== 0) queued += 1
      await writer.query('UPDATE products SET n = n + 1 WHERE id = 2')
      await sleep(50)
    }
    expect(ended).toBe(false)
    expect(queued).toBeLessThan(looks / 2)
    // Not a line for every attempt.
    expect(warnings.length).toBe(1)
    await long.query('COMMIT')
    expect((await migrating).slice(-2)).toEqual(made)
    expect(await rig.check()).toEqual([])
  })

  test('beside many writers it gets through', async () => {
    const rig = await captureForTest({ sql, tables, migrate: false })
    let writing = true
    const writers = [1, 2, 3, 4].map(async () => {
      for (let n = 0; writing; n += 1) {
        await rig.db.query(`UPDATE products SET title = 'x' || n, n = n + 1 WHERE id = 1 + ${n} % 50`)
      }
    })
    expect((await rig.migrate()).slice(-2)).toEqual(made)
    writing = false
    await Promise.all(writers)
  })

  test('gives up in the end, with the SQL that shows who holds it; nothing is half done', async () => {
    const rig = await captureForTest({ sql, tables, settings: { capture: 'client' } })
    const { resolved } = defineSync({ tables } as never)
    const client = await rig.db.client()
    const sources = await Sources.open({ db: client, resolved, defaultSchema: 'public', logger: silentLogger })
    const wanted = wantedCapture(
      'safetykit',
      sources.all.map((source) => source.bound),
    )
    const long = await rig.db.client()
    await long.query('BEGIN; DELETE FROM sellers')
    const error = await ensureTriggers(client, wanted, { totalWaitMs: 500 }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'TABLE_BUSY', retryable: true })
    const { message, hint } = error as SyncError
    expect(message).toContain('public.sellers')
    const [, query = ''] = (hint ?? '').split('\n')
    const holders = await rig.db.query(query)
    const { rows } = await long.query('SELECT pg_backend_pid() AS pid')
    expect(holders.rows[0]?.pid).toBe(rows[0].pid)
    await long.query('ROLLBACK')
    expect(await triggersOf(rig)).toEqual(['products safetykit_insert A', 'products safetykit_update A'])
    expect(await ensureTriggers(client, wanted)).toEqual(['Made the triggers of public.sellers'])
    expect(await ensureTriggers(client, wanted)).toEqual([])
  })

  test('a partition that is in use is enough to wait', async () => {
    const rig = await captureForTest({
      sql: `CREATE TABLE events (id integer PRIMARY KEY, title text) PARTITION BY HASH (id);
        CREATE TABLE events_0 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
      tables: { 'public.events': { namespace: 'events', fields: { title: true } } },
      migrate: false,
    })
    const { logger, warnings } = listening()
    const long = await rig.db.client()
    const { rows } = await long.query('SELECT pg_backend_pid() AS pid')
    await long.query('BEGIN; LOCK TABLE ONLY events_1 IN ROW EXCLUSIVE MODE')
    const migrating = rig.migrate({ logger })
    await soon(() => expect(warnings[0]?.fields.pid).toBe(rows[0].pid))
    await long.query('COMMIT')
    expect((await migrating).at(-1)).toBe('Made the triggers of public.events')
  })
})
