import { expect, test } from 'vitest'
import { expectComplete } from '../pipeline/complete.js'
import { rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'
import { workersForTest } from '../support/workers.js'

const sql = (rows: number) => `CREATE TABLE products (id integer PRIMARY KEY, title text);
  INSERT INTO products SELECT i, 'row ' || i FROM generate_series(1, ${rows}) AS i`
const tables = { 'public.products': { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' } }
const mark = `INSERT INTO safetykit.dirty (source) VALUES ('public.products')`

interface Db {
  query(sql: string): Promise<{ rows: object[] }>
}

/** What the namespace has to hold: the rows, and tombstones of those that were sent and are gone. */
async function truth(db: Db, gone: readonly string[]): Promise<Record<string, unknown>> {
  const { rows } = await db.query('SELECT id::text, title FROM products')
  const live = (rows as { id: string }[]).map((row) => [row.id, row])
  return Object.fromEntries([...live, ...gone.map((id) => [id, { id, deleted: true }])])
}

const served = (db: Db) =>
  soon(async () => {
    const { rows } = await db.query(`SELECT (SELECT count(*) FROM safetykit.dirty)::integer AS waiting,
      (SELECT count(*) FROM safetykit.scans WHERE finished_at IS NULL)::integer AS unfinished`)
    expect(rows).toEqual([{ waiting: 0, unfinished: 0 }])
  })

test('beside the stream: what was there before the slot is sent, each row once, and what changes meanwhile', async () => {
  const rig = await rigForTest({ sql: sql(5_000), tables })
  await rig.db.query(mark)
  for (let i = 1; i <= 50; i += 1) {
    await rig.db.query(`UPDATE products SET title = 'changed' WHERE id = ${i * 100}`)
  }
  await served(rig.db)
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual(await truth(rig.db, []))
  const versions = Array.from({ length: 5_000 }, (_, at) => rig.versions('products', String(at + 1)))
  expect(versions.filter((count, at) => count > ((at + 1) % 100 === 0 ? 2 : 1))).toEqual([])
  await expectComplete(rig)
})

test('an unchanged table is scanned without a call', async () => {
  const rig = await rigForTest({ sql: sql(2_000), tables })
  await rig.db.query(mark)
  await served(rig.db)
  const calls = rig.emulator.stats.calls.add
  await rig.db.query(mark)
  await served(rig.db)
  expect(rig.emulator.stats.calls.add).toBe(calls)
  await expectComplete(rig)
})

test('several workers share a scan, and writes that nothing captured arrive', async () => {
  const rig = await workersForTest({ sql: sql(3_000), tables })
  await Promise.all([rig.start(), rig.start(), rig.start()])
  await rig.db.query(mark)
  await served(rig.db)
  expect(rig.sent('products')).toEqual(await truth(rig.db, []))
  await rig.db.query(`ALTER TABLE products DISABLE TRIGGER USER; UPDATE products SET title = 'silent' WHERE id % 7 = 0;
    DELETE FROM products WHERE id IN (3, 14); INSERT INTO products VALUES (9999, 'silent'); ${mark}`)
  await served(rig.db)
  expect(rig.sent('products')).toEqual(await truth(rig.db, ['3', '14']))
  expect(rig.emulator.violations).toEqual([])
})

test('a worker that is killed in the middle of a scan leaves the rest to the next one', async () => {
  const rig = await workersForTest({ sql: sql(8_000), tables })
  await rig.db.query(mark)
  for (let round = 0; round < 3; round += 1) {
    const worker = await rig.start()
    const before = rig.emulator.objects('products').size
    await soon(() => expect(rig.emulator.objects('products').size).toBeGreaterThan(Math.min(before, 7_000)))
    worker.abandon()
    await worker.stop()
  }
  await rig.start()
  await served(rig.db)
  expect(rig.sent('products')).toEqual(await truth(rig.db, []))
  expect(rig.emulator.violations).toEqual([])
})
