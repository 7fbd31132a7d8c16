import pg from 'pg'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { silentLogger } from '../../src/logger.js'
import { CaptureWatch } from '../../src/pipeline/capture-watch.js'
import { Sources } from '../../src/pipeline/sources.js'
import { defineSync } from '../../src/sync.js'
import { rigForTest } from '../support/pipeline.js'
import { createDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { workersForTest } from '../support/workers.js'

const sql = 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)'
const tables = { 'public.products': { namespace: 'products', fields: { title: true } } }

/** It is looked at every ten seconds. */
const patienceMs = 90_000

describe('what a running sidecar does not get any more is told, and found after migrate', () => {
  test('a table that was dropped and made anew', async () => {
    const rig = await rigForTest({ sql, tables })
    await rig.db.query(`INSERT INTO products VALUES (1, 'old')`)
    await rig.caughtUp()
    await rig.db.query(`DROP TABLE products; ${sql}; INSERT INTO products VALUES (1, 'missed'), (2, 'missed')`)
    await soon(() => expect(rig.pipeline.measures().uncaptured).toEqual(['public.products']), patienceMs)
    expect(rig.logged('error')).toMatchObject([{ fields: { hint: expect.stringContaining('safetykit-sync migrate') } }])

    expect((await rig.migrate()).join()).toContain('ADD TABLE')
    await soon(() => expect(rig.sent('products')).toMatchObject({ 1: { title: 'missed' }, 2: { title: 'missed' } }))
    await soon(() => expect(rig.pipeline.measures().uncaptured).toEqual([]), patienceMs)
    await rig.db.query(`UPDATE products SET title = 'live' WHERE id = 1`)
    await soon(() => expect(rig.sent('products')).toMatchObject({ 1: { title: 'live' } }))
  })

  test('a publication that was dropped: the slot, which is older than the new one, is made anew', async () => {
    const rig = await rigForTest({ sql, tables })
    await rig.db.query(`INSERT INTO products VALUES (1, 'old')`)
    await rig.caughtUp()
    await rig.stop()
    await rig.db.query('DROP PUBLICATION safetykit')
    await rig.db.query(`UPDATE products SET title = 'missed'; INSERT INTO products VALUES (2, 'missed')`)
    await expect(rig.start()).rejects.toMatchObject({ code: 'PUBLICATION_UNFIT' })
    expect((await rig.migrate()).join()).toContain('CREATE PUBLICATION')
    await rig.start()
    await soon(() => expect(rig.sent('products')).toMatchObject({ 1: { title: 'missed' }, 2: { title: 'missed' } }))
    await rig.db.query(`INSERT INTO products VALUES (3, 'live')`)
    await soon(() => expect(rig.sent('products')).toHaveProperty('3'))
    await rig.caughtUp()
  })

  test('a table that was renamed is captured still', async () => {
    const rig = await rigForTest({ sql, tables })
    await rig.db.query('ALTER TABLE products RENAME TO goods')
    await soon(() => expect(rig.logged('warn')).toMatchObject([{ message: 'A mapped table was renamed' }]), patienceMs)
    expect(rig.pipeline.measures()).toMatchObject({ uncaptured: [], misfits: [] })
    expect(rig.logged('error')).toEqual([])
  })
})

test('triggers that were disabled are told by a worker', async () => {
  const { db, log, start, sent, settled } = await workersForTest({ sql, tables })
  const worker = await start()
  await db.query(`INSERT INTO products VALUES (1, 'old')`)
  await settled()
  await db.query(`ALTER TABLE products DISABLE TRIGGER ALL; UPDATE products SET title = 'missed'`)
  await soon(() => expect(worker.measures().uncaptured).toEqual(['public.products']), patienceMs)
  expect(log.filter(({ level }) => level === 'error')).toHaveLength(1)
  expect(sent('products')).toMatchObject({ 1: { title: 'old' } })
})

describe('a migration that has locked a partition', () => {
  const partitioned = `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL) PARTITION BY RANGE (id);
    CREATE TABLE low PARTITION OF products FOR VALUES FROM (0) TO (100); CREATE TABLE shops (LIKE low INCLUDING ALL)`
  const both = { ...tables, 'public.shops': { namespace: 'shops', fields: { title: true } } }
  const lockSql = 'BEGIN; LOCK TABLE low IN ACCESS EXCLUSIVE MODE'

  test('a worker tells all the same what is not captured, and stops', async () => {
    const { db, start } = await workersForTest({ sql: partitioned, tables: both })
    const worker = await start()
    await db.query('ALTER TABLE shops DISABLE TRIGGER ALL')
    const migration = await db.client()
    await migration.query(lockSql)
    await soon(() => expect(worker.measures().uncaptured).toEqual(['public.shops']), patienceMs)
    await worker.stop()
    await migration.query('COMMIT')
  })

  test('so does a sidecar', async () => {
    const rig = await rigForTest({ sql: partitioned, tables: both })
    await rig.db.query('ALTER PUBLICATION safetykit DROP TABLE shops')
    const migration = await rig.db.client()
    await migration.query(lockSql)
    await soon(() => expect(rig.pipeline.measures().uncaptured).toEqual(['public.shops']), patienceMs)
    await rig.stop()
    await migration.query('COMMIT')
  })
})

test.each([
  ['trigger', 1],
  ['client', 0],
] as const)('capture %s: connections that are taken to look at the catalogue: %d', async (capture, connections) => {
  const db = await createDatabase({ sql })
  onTestFinished(() => db.drop())
  // A configuration wants a Prisma client for 'client', which nothing here asks for.
  const resolved = { ...defineSync({ capture: 'trigger', tables } as never).resolved, capture }
  const sources = await Sources.open({ db: db.pool, resolved, defaultSchema: 'public', logger: silentLogger })
  const source = new pg.Pool({ connectionString: db.url })
  onTestFinished(() => source.end())
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const watch = new CaptureWatch({ databases: { source }, resolved, sources, logger: silentLogger })
  vi.advanceTimersByTime(60_000)
  expect(source.totalCount).toBe(connections)
  watch.stop()
})
