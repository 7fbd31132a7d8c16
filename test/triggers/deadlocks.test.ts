import { expect, test } from 'vitest'
import { captureForTest } from './rig.js'

const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text, n integer DEFAULT 0);
  INSERT INTO products SELECT n, 'title' FROM generate_series(1, 50) AS n`
const tables = { 'public.products': { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' } }

test('transactions over the same rows in the same order never deadlock, and wait for nobody but each other', async () => {
  const rig = await captureForTest({ sql, tables })
  const writers = await Promise.all(Array.from({ length: 8 }, () => rig.db.client()))
  const write = async (client: (typeof writers)[number], worker: number): Promise<void> => {
    for (let round = 0; round < 25; round += 1) {
      const ids = Array.from({ length: 6 }, (_, n) => 1 + ((worker * 7 + round * 13 + n * 5) % 50)).sort(
        (a, b) => a - b,
      )
      await client.query('BEGIN')
      for (const id of ids)
        await client.query('UPDATE products SET title = $1 WHERE id = $2', [`${worker} ${round}`, id])
      await client.query('INSERT INTO products VALUES ($1, $2)', [1000 + worker * 100 + round, 'new'])
      await client.query(round % 5 === 4 ? 'ROLLBACK' : 'COMMIT')
    }
  }
  await Promise.all(writers.map(write))
  const { rows } = await rig.db.query('SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()')
  expect(rows).toEqual([{ deadlocks: 0 }])
  expect((await rig.captured()).length).toBe(8 * 20 * 7)
})

test('a writer waits for none who holds rows in "dirty", reads them or deletes them', async () => {
  const rig = await captureForTest({ sql, tables })
  await rig.db.query("UPDATE products SET title = 'x'")
  const worker = await rig.db.client()
  await worker.query('BEGIN; SELECT * FROM safetykit.dirty FOR UPDATE; DELETE FROM safetykit.dirty WHERE seq % 2 = 0')
  const other = await rig.db.client()
  await other.query("BEGIN; UPDATE products SET title = 'y' WHERE id = 1")
  const writer = await rig.db.client()
  await writer.query("SET lock_timeout = '10ms'")
  await writer.query(
    "UPDATE products SET title = 'z' WHERE id <> 1; INSERT INTO products VALUES (99, 'new'); DELETE FROM products WHERE id = 2",
  )
  await Promise.all([worker.query('COMMIT'), other.query('COMMIT')])
})

test('serializable transactions that have nothing else in common do not fail', async () => {
  const workers = [0, 1, 2, 3, 4, 5]
  const name = (worker: number): string => `products_${worker}`
  const rig = await captureForTest({
    sql: workers.map((n) => `CREATE TABLE ${name(n)} (id integer PRIMARY KEY, title text)`).join(';'),
    tables: Object.fromEntries(
      workers.map((n) => [`public.${name(n)}`, { namespace: name(n), fields: { title: true } }]),
    ),
  })
  await Promise.all(
    workers.map(async (worker) => {
      const client = await rig.db.client()
      for (let round = 0; round < 25; round += 1) {
        await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
        await client.query(`INSERT INTO ${name(worker)} VALUES ($1, 'new')`, [round])
        await client.query(`UPDATE ${name(worker)} SET title = $1 WHERE id <= $2`, [`${round}`, round])
        await client.query('COMMIT')
      }
    }),
  )
  expect((await rig.captured()).length).toBe(6 * (25 + (25 * 26) / 2))
})
