import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { soon } from '../support/soon.js'
import { scanRig } from './rig.js'

const products = (
  rows: number,
) => `CREATE TABLE products (id integer PRIMARY KEY, title text, hidden boolean NOT NULL DEFAULT false);
  INSERT INTO products SELECT i, 'row ' || i FROM generate_series(1, ${rows}) AS i`
const tables = { 'public.products': { namespace: 'products', fields: { title: true } } }
const source = 'public.products'

test('a scan finds what is missing and what differs, and nothing else', async () => {
  const rig = await scanRig({ sql: products(20_000), tables })
  await rig.mark(source)
  await rig.mark(source)
  const scanner = rig.start()
  // It waits behind what it has found already.
  await soon(async () => {
    await rig.deliver()
    expect(rig.delivered).toHaveLength(20_000)
    expect(await rig.runs()).toEqual([])
  })
  await scanner.stop()
  expect(new Set(rig.delivered).size).toBe(20_000)
  await rig.db.query(
    `UPDATE products SET title = 'new' WHERE id % 5000 = 0; INSERT INTO products VALUES (0, 'first'), (50000, 'last')`,
  )
  await rig.mark(source)
  await rig.scan()
  expect(await rig.waiting()).toEqual(['0', '5000', '10000', '15000', '20000', '50000'].map((id) => ({ id })))
  expect(await rig.deliver()).toBe(6)
  await rig.mark(source)
  await rig.scan()
  expect(await rig.waiting()).toEqual([])
})

test('stopped in the middle it goes on where it was, sends nothing twice and misses nothing', async () => {
  const rig = await scanRig({ sql: products(5_000), tables })
  await rig.mark(source)
  let starts = 0
  while ((await rig.scans.marked([source])).length > 0 || (await rig.runs()).length > 0) {
    starts += 1
    const scanner = rig.start({ limits: { rows: 200, size: 1e6 } })
    const before = (await rig.waiting()).length
    await soon(async () => {
      if ((await rig.waiting()).length > before) return
      expect(await rig.scans.marked([source])).toEqual([])
      expect(await rig.runs()).toEqual([])
    })
    await scanner.stop()
    await rig.deliver()
  }
  expect(starts).toBeGreaterThan(1)
  expect(rig.delivered).toHaveLength(5_000)
  expect(new Set(rig.delivered).size).toBe(5_000)
})

test('a mark that comes while its table is scanned leads to another scan', async () => {
  const rig = await scanRig({ sql: products(3_000), tables })
  await rig.mark(source)
  const scanner = rig.start({ limits: { rows: 100, size: 1e6 }, maxWaitingKeys: 500 })
  // It has passed the first row, and waits since many keys do.
  await soon(async () => expect((await rig.waiting()).length).toBeGreaterThan(500))
  await rig.deliver()
  await rig.db.query(`BEGIN; UPDATE products SET title = 'late' WHERE id = 1;
    INSERT INTO safetykit.dirty (source) VALUES ('${source}'); COMMIT`)
  await soon(async () => {
    await rig.deliver()
    expect(await rig.scans.marked([source])).toEqual([])
    expect(await rig.runs()).toEqual([])
    expect(await rig.waiting()).toEqual([])
  })
  await scanner.stop()
  expect(rig.delivered).toHaveLength(3_001)
  expect(rig.delivered.filter((object) => object === 'products/1')).toHaveLength(2)
})

test('a row counts as in step only when nothing older of it is in flight', async () => {
  const rig = await scanRig({ sql: `${products(0)}; INSERT INTO products VALUES (1, 'C')`, tables })
  await rig.mark(source)
  await rig.scan()
  await rig.deliver()
  // Someone changes it to X and marks it; a worker reads X and sends it.
  await rig.db.query(`BEGIN; UPDATE products SET title = 'X' WHERE id = 1;
    INSERT INTO safetykit.dirty (source, key) VALUES ('${source}', '{"id": "1"}'); COMMIT`)
  const readX = await rig.readOne({ id: '1' })
  // Before the answer is recorded, it is C again, by a write that nobody can attribute.
  await rig.db.query(`BEGIN; UPDATE products SET title = 'C' WHERE id = 1;
    INSERT INTO safetykit.dirty (source) VALUES ('${source}'); COMMIT`)
  const scanner = rig.start()
  await soon(async () => expect(await rig.runs()).toHaveLength(1))
  // The ledger says C, and so does the row: however long it takes, the scan must not end with that.
  await sleep(500)
  expect(await rig.runs()).toHaveLength(1)
  await rig.accept(readX)
  await rig.db.query('DELETE FROM safetykit.dirty WHERE key IS NOT NULL')
  await rig.served()
  await scanner.stop()
  expect(await rig.waiting()).toEqual([{ id: '1' }])
  expect(await rig.deliver()).toBe(1)
})

test('what was refused is not sent again by a scan, unless its row changed', async () => {
  const rig = await scanRig({ sql: products(3), tables })
  await rig.mark(source)
  await rig.scan()
  expect(await rig.deliver({ refuse: (id) => id !== '1' })).toBe(3)
  await rig.mark(source)
  await rig.scan()
  expect(await rig.waiting()).toEqual([])
  await rig.db.query(`UPDATE products SET title = 'better' WHERE id = 3`)
  await rig.mark(source)
  await rig.scan()
  expect(await rig.waiting()).toEqual([{ id: '3' }])
})

test('a row that cannot be mapped is parked once, and sent when it can be', async () => {
  const computed = {
    size: {
      value: ({ title }: { title: string }) => {
        if (title === 'bad') throw new Error('too bad')
        return title.length
      },
    },
  }
  const rig = await scanRig({
    sql: `${products(2)}; UPDATE products SET title = 'bad' WHERE id = 2`,
    tables: { 'public.products': { namespace: 'products', fields: { title: true }, computed } },
  })
  await rig.mark(source)
  await rig.scan()
  expect(await rig.deliver()).toBe(2)
  await rig.mark(source)
  await rig.scan()
  expect(await rig.waiting()).toEqual([])
  await rig.db.query(`UPDATE products SET title = 'good' WHERE id = 2`)
  await rig.mark(source)
  await rig.scan()
  expect(await rig.waiting()).toEqual([{ id: '2' }])
})

test('a table whose mapping does not fit keeps one mark, and is scanned once it fits again', async () => {
  const rig = await scanRig({ sql: products(3), tables })
  await rig.db.query('ALTER TABLE products RENAME COLUMN title TO name')
  await rig.sources.refresh()
  for (let i = 0; i < 10; i += 1) await rig.mark(source)
  const scanner = rig.start()
  await soon(async () => expect((await rig.db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(1))
  await rig.db.query('ALTER TABLE products RENAME COLUMN name TO title')
  await rig.sources.refresh()
  await rig.served()
  await scanner.stop()
  expect(await rig.waiting()).toHaveLength(3)
})

test('two scanners at once do no harm', async () => {
  const rig = await scanRig({ sql: products(3_000), tables })
  await rig.mark(source)
  const limits = { rows: 50, size: 1e6 }
  const scanners = [1, 2, 3].map(() => rig.start({ limits }))
  await rig.served()
  await Promise.all(scanners.map((scanner) => scanner.stop()))
  await rig.deliver()
  expect(new Set(rig.delivered).size).toBe(3_000)
  expect(rig.delivered).toHaveLength(3_000)
})

test('a scanner whose run was begun anew by another one writes nothing more', async () => {
  const rig = await scanRig({ sql: products(10), tables })
  const old = await rig.scans.start(source, 'mark')
  const current = await rig.scans.start(source, 'mark')
  expect(await rig.scans.save(old, { walk: 'rows' }, [{ id: '1' }])).toBe(false)
  expect(await rig.scans.finish(old)).toBe(false)
  expect(await rig.waiting()).toEqual([])
  expect(await rig.runs()).toMatchObject([{ startedAt: current.startedAt, cursor: null }])
})

test('several mappings of a table are compared each, and a row that one of them lacks is sent once', async () => {
  const rig = await scanRig({
    sql: products(10),
    tables: {
      'public.products': [
        { namespace: 'products', fields: { title: true } },
        { namespace: 'shown', fields: { title: true, hidden: true }, where: (row: { hidden: boolean }) => !row.hidden },
      ],
    },
  })
  await rig.mark(source)
  await rig.scan()
  expect(await rig.deliver()).toBe(20)
  await rig.db.query('UPDATE products SET hidden = true WHERE id = 4')
  await rig.db.query('UPDATE safetykit.objects SET fingerprint = NULL WHERE namespace = $1 AND object_id = $2', [
    'shown',
    '5',
  ])
  await rig.mark(source)
  await rig.scan()
  expect(await rig.waiting()).toEqual([{ id: '5' }])
})

test('keys of a table that cannot be worked hold up no scan of another one', async () => {
  const rig = await scanRig({
    sql: `${products(50)}; CREATE TABLE others (id integer PRIMARY KEY, title text)`,
    tables: { ...tables, 'public.others': { namespace: 'others', fields: { title: true } } },
  })
  await rig.db.query('ALTER TABLE others RENAME COLUMN title TO name')
  await rig.sources.refresh()
  await rig.db.query(`INSERT INTO safetykit.dirty (source, key)
    SELECT 'public.others', jsonb_build_object('id', i::text) FROM generate_series(1, 200) AS i`)
  await rig.mark(source)
  await rig.scan({ maxWaitingKeys: 100, limits: { rows: 1_000, size: 1e6 } })
  expect((await rig.waiting(source)).length).toBe(50)
})
