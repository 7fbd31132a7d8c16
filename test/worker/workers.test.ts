import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { soon } from '../support/soon.js'
import { workersForTest } from '../support/workers.js'

const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL, views integer NOT NULL DEFAULT 0)`
const tables = { 'public.products': { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' } }
const insert = (from: number, to: number): string =>
  `INSERT INTO products SELECT n, 'Chair' FROM generate_series(${from}, ${to}) n`

test('a write is delivered, recorded under its request, and its key deleted', async () => {
  const workers = await workersForTest({ sql, tables })
  const worker = await workers.start()
  await workers.db.query(insert(1, 3))
  worker.wake()
  await workers.settled()
  expect(workers.sent('products')).toEqual({
    1: { id: '1', title: 'Chair' },
    2: { id: '2', title: 'Chair' },
    3: { id: '3', title: 'Chair' },
  })
  const objects = await workers.side('objects')
  expect(objects.map(({ object_id, state, request_id }) => [object_id, state, request_id])).toEqual(
    ['1', '2', '3'].map((id) => [id, 'accepted', workers.emulator.object('products', id)?.requestId]),
  )
})

test('keys that nobody woke the worker for are found by its polling', async () => {
  const workers = await workersForTest({ sql, tables })
  await workers.start()
  await workers.db.query(insert(1, 1))
  await workers.settled()
  expect(Object.keys(workers.sent('products'))).toEqual(['1'])
})

test('content that was accepted is not sent again, and a deleted row becomes a tombstone', async () => {
  const workers = await workersForTest({ sql, tables })
  const worker = await workers.start()
  await workers.db.query(insert(1, 1))
  worker.wake()
  await workers.settled()
  await workers.db.query(`UPDATE products SET title = 'Table'; UPDATE products SET title = 'Chair'`)
  worker.wake()
  await workers.settled()
  expect(workers.emulator.history('products', '1')).toHaveLength(1)
  await workers.db.query('DELETE FROM products')
  worker.wake()
  await workers.settled()
  expect(workers.sent('products')).toEqual({ 1: { id: '1', deleted: true } })
})

test('several workers share the keys, and no object is ever with two of them', async () => {
  const workers = await workersForTest({
    sql,
    tables,
    settings: { delivery: { maxConcurrency: 1 } },
  })
  workers.emulator.faults.add({ do: { latencyMs: 30 } })
  const four = await Promise.all([1, 2, 3, 4].map(() => workers.start()))
  await workers.db.query(insert(1, 3_000))
  for (let round = 0; round < 30; round += 1) {
    await workers.db.query(`UPDATE products SET title = 'Chair ${round}' WHERE id % 30 = ${round}`)
    await workers.db.query(`UPDATE products SET title = 'Chair, hot ${round}' WHERE id <= 100`)
    for (const worker of four) worker.wake()
    await sleep(100)
  }
  await workers.settled()
  expect(workers.emulator.violations).toEqual([])
  const { rows } = await workers.db.query<{ id: number; title: string }>('SELECT id, title FROM products')
  expect(workers.sent('products')).toEqual(
    Object.fromEntries(rows.map(({ id, title }) => [String(id), { id: String(id), title }])),
  )
  const shares = four.map((worker) => worker.counts.accepted)
  expect(shares.filter((share) => share > 0)).toHaveLength(4)
})

test('workers that have nothing to do hold nothing, so that the next writer can take it at once', async () => {
  const workers = await workersForTest({ sql, tables })
  const [first, second] = [await workers.start(), await workers.start()]
  await workers.db.query(insert(1, 100))
  first.wake()
  await workers.settled()
  await soon(async () => expect(await workers.side('leases', 'holder IS NOT NULL')).toEqual([]))
  await workers.db.query(insert(101, 200))
  second.wake()
  await workers.settled()
  await soon(async () => expect(await workers.side('leases', 'holder IS NOT NULL')).toEqual([]))
  expect(first.counts.accepted + second.counts.accepted).toBe(200)
})

test('a worker that stops gives back what it has, and leaves no doubt behind', async () => {
  const workers = await workersForTest({ sql, tables })
  const worker = await workers.start()
  await workers.db.query(insert(1, 100))
  worker.wake()
  await soon(async () => expect(await workers.side('leases', 'holder IS NOT NULL')).not.toEqual([]))
  await worker.stop()
  expect(await workers.side('leases', 'holder IS NOT NULL OR through > 0 OR doubted > 0')).toEqual([])
})

test('keys whose table does not fit its mapping wait, and are sent once it fits again', async () => {
  const workers = await workersForTest({ sql, tables })
  const worker = await workers.start()
  await workers.db.query(`${insert(1, 1)}; ALTER TABLE products RENAME title TO name`)
  worker.wake()
  await soon(() => expect(workers.log.some(({ message }) => message.includes('does not fit'))).toBe(true))
  await soon(async () => expect(await workers.side('dirty')).toHaveLength(1))
  await workers.db.query('ALTER TABLE products RENAME name TO title')
  await workers.settled()
  expect(workers.sent('products')).toEqual({ 1: { id: '1', title: 'Chair' } })
})

test('an object that is refused is parked, and comes again through dirty when its time has come', async () => {
  const workers = await workersForTest({ sql, tables, settings: { parking: { retryAfterMs: [200, 60_000] } } })
  // The batch, the half that holds it, and the object alone.
  workers.emulator.faults.add({ when: { ids: ['2'], times: 3 }, do: { reject: 422, message: 'no' } })
  const worker = await workers.start()
  await workers.db.query(insert(1, 3))
  worker.wake()
  await soon(async () => {
    const objects = await workers.side<{ state: string }>('objects')
    expect(objects.map(({ state }) => state)).toEqual(['accepted', 'accepted', 'accepted'])
  })
  expect(worker.counts.parked).toBe(1)
})

test('connections that break again and again cost nothing but time', async () => {
  const workers = await workersForTest({ sql, tables })
  const pair = [await workers.start(), await workers.start()]
  for (let round = 0; round < 20; round += 1) {
    await workers.db.query(insert(round * 50 + 1, round * 50 + 50))
    for (const worker of pair) worker.wake()
    await workers.db.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'safetykit-sync%'`,
    )
    await sleep(50)
  }
  await workers.settled()
  expect(Object.keys(workers.sent('products'))).toHaveLength(1_000)
  expect(workers.emulator.violations).toEqual([])
})

test('a role from which row-level security hides rows is refused, so that no row is taken for deleted', async () => {
  const workers = await workersForTest({ sql, tables })
  const role = `${workers.db.name}_app`
  await workers.db.query(`CREATE ROLE ${role} LOGIN PASSWORD 'app'; GRANT ALL ON products TO ${role};
    GRANT USAGE ON SCHEMA safetykit TO ${role}; GRANT ALL ON ALL TABLES IN SCHEMA safetykit TO ${role};
    ALTER TABLE products ENABLE ROW LEVEL SECURITY`)
  const url = new URL(workers.db.url)
  url.username = role
  url.password = 'app'
  await expect(workers.start({ databaseUrl: url.href })).rejects.toMatchObject({
    code: 'TABLE_UNFIT',
    hint: expect.stringContaining('BYPASSRLS'),
  })
  await workers.db.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
})
