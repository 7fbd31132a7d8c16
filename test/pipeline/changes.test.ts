import { expect, test } from 'vitest'
import { type Rig, rigForTest } from '../support/pipeline.js'
import { expectComplete } from './complete.js'

const sql = 'CREATE TABLE products (id integer PRIMARY KEY, title text, price integer, views integer DEFAULT 0)'
const tables = {
  'public.products': [
    { namespace: 'products', fields: { title: true, price: true } },
    { namespace: 'graves', fields: { title: true }, onDelete: 'tombstone' },
  ],
}
const dead = (id: string) => ({ id, deleted: true })
const history = (rig: Rig, namespace: string, id: string) => rig.emulator.history(namespace, id).map(({ data }) => data)

test('a changed primary key is an insert of the new id and, where the policy says so, a tombstone of the old', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1), (2, 'b', 2)")
  await rig.caughtUp()
  await rig.db.query("UPDATE products SET id = 10 WHERE id = 1; UPDATE products SET id = 20, title = 'bb' WHERE id = 2")
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({
    1: { id: '1', title: 'a', price: 1 },
    2: { id: '2', title: 'b', price: 2 },
    10: { id: '10', title: 'a', price: 1 },
    20: { id: '20', title: 'bb', price: 2 },
  })
  expect(rig.sent('graves')).toEqual({
    1: dead('1'),
    2: dead('2'),
    10: { id: '10', title: 'a' },
    20: { id: '20', title: 'bb' },
  })
  // Two rows swap their keys.
  await rig.db.query(`BEGIN; UPDATE products SET id = 0 WHERE id = 10; UPDATE products SET id = 10 WHERE id = 20;
    UPDATE products SET id = 20 WHERE id = 0; COMMIT`)
  await rig.caughtUp()
  expect(rig.sent('graves')).toMatchObject({ 10: { title: 'bb' }, 20: { title: 'a' } })
  expect(history(rig, 'graves', '0')).toEqual([])
  await expectComplete(rig)
})

test('deletes: ignored, or a tombstone that is sent once, and never for what was not sent', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await rig.caughtUp()
  await rig.db.query(
    "DELETE FROM products; BEGIN; INSERT INTO products VALUES (2, 'b', 2); DELETE FROM products; COMMIT",
  )
  await rig.caughtUp()
  expect(history(rig, 'products', '1')).toEqual([{ id: '1', title: 'a', price: 1 }])
  expect(history(rig, 'graves', '1')).toEqual([{ id: '1', title: 'a' }, dead('1')])
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await rig.caughtUp()
  // SafetyKit has this content in the one namespace, and a tombstone in the other.
  expect(history(rig, 'products', '1')).toHaveLength(1)
  expect(history(rig, 'graves', '1')).toEqual([{ id: '1', title: 'a' }, dead('1'), { id: '1', title: 'a' }])
  await rig.stop()
  await rig.start()
  await rig.db.query('DELETE FROM products')
  await rig.caughtUp()
  expect(history(rig, 'graves', '1').at(-1)).toEqual(dead('1'))
  expect(rig.emulator.object('graves', '2')).toBeUndefined()
  await expectComplete(rig)
})

test.each([
  'DEFAULT',
  'FULL',
  'USING INDEX products_key',
])('unchanged large values are read from the table: the full object is sent (replica identity %s)', async (identity) => {
  const rig = await rigForTest({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, body text, price integer, views integer DEFAULT 0, code integer NOT NULL);
        ALTER TABLE products ALTER COLUMN body SET STORAGE EXTERNAL;
        CREATE UNIQUE INDEX products_key ON products (code, id);
        ALTER TABLE products REPLICA IDENTITY ${identity}`,
    tables: {
      'public.products': { namespace: 'products', fields: { body: true, price: true }, onDelete: 'tombstone' },
    },
  })
  const body = 'long '.repeat(2_000)
  await rig.db.query('INSERT INTO products VALUES (1, $1, 1, 0, 1), (2, $1, 2, 0, 2)', [body])
  await rig.caughtUp()
  await rig.db.query(
    'UPDATE products SET price = 10 WHERE id = 1; UPDATE products SET views = 5; DELETE FROM products WHERE id = 2',
  )
  await rig.caughtUp()
  const [before, after, ...more] = history(rig, 'products', '1')
  expect(before?.body === body && after?.body === body).toBe(true)
  expect([before?.price, after?.price, more.length]).toEqual([1, 10, 0])
  expect(rig.emulator.object('products', '2')?.data).toEqual(dead('2'))
  // Its key, its large value untouched.
  await rig.db.query('UPDATE products SET id = 3, code = 3 WHERE id = 1')
  await rig.caughtUp()
  expect(rig.emulator.object('products', '3')?.data.body === body).toBe(true)
  expect(rig.emulator.object('products', '1')?.data).toEqual(dead('1'))
  await expectComplete(rig)
})

test('an update that does not say of which id, since that is a large unchanged value, marks the table for a scan', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE pages (n integer PRIMARY KEY, url text NOT NULL, title text);
      ALTER TABLE pages ALTER COLUMN url SET STORAGE EXTERNAL`,
    tables: { 'public.pages': { namespace: 'pages', id: 'url', fields: { title: true } } },
  })
  const url = 'https://example.com/'.padEnd(2_100, 'x')
  await rig.db.query("INSERT INTO pages VALUES (1, $1, 'a')", [url])
  await rig.caughtUp()
  await rig.db.query("UPDATE pages SET title = 'b'")
  await rig.caughtUp()
  const marks = await rig.side('dirty')
  expect(marks).toMatchObject([{ source: 'public.pages', key: null }])
})

test('a truncate is counted and told, and sends nothing', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await rig.caughtUp()
  await rig.db.query("TRUNCATE products; INSERT INTO products VALUES (2, 'b', 1); TRUNCATE products")
  await rig.caughtUp()
  const told = rig.logged('warn').filter(({ fields }) => 'truncates' in fields)
  expect(told.map(({ fields }) => fields)).toEqual([
    { source: 'public.products', truncates: 1 },
    { source: 'public.products', truncates: 2 },
  ])
  expect(Object.keys(rig.sent('graves'))).toEqual(expect.arrayContaining(['1']))
  expect(rig.sent('graves')).not.toMatchObject({ 1: dead('1') })
})

test('what is rolled back is never sent: transactions, savepoints, failed statements', async () => {
  const rig = await rigForTest({ sql, tables })
  const client = await rig.db.client()
  await client.query("BEGIN; INSERT INTO products VALUES (1, 'rolled back', 1); ROLLBACK")
  await client.query(`BEGIN; INSERT INTO products VALUES (2, 'kept', 2); SAVEPOINT a; INSERT INTO products VALUES (3, 'lost', 3);
    UPDATE products SET title = 'lost' WHERE id = 2; ROLLBACK TO a; SAVEPOINT b; UPDATE products SET price = 20 WHERE id = 2;
    RELEASE b; COMMIT`)
  await client.query("BEGIN; INSERT INTO products VALUES (4, 'lost', 4)")
  await client.query('INSERT INTO products VALUES (4)').catch(() => {})
  await client.query('COMMIT')
  await rig.db.query("INSERT INTO products VALUES (5, 'last', 5)")
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({
    2: { id: '2', title: 'kept', price: 20 },
    5: { id: '5', title: 'last', price: 5 },
  })
  await expectComplete(rig)
})

test('many changes of one row in one transaction, and in many, end with the last one', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query(`DO $$ BEGIN INSERT INTO products VALUES (1, 'start', 0);
    FOR i IN 1..1000 LOOP UPDATE products SET price = i WHERE id = 1; END LOOP; END $$`)
  await rig.db.query(
    `DO $$ BEGIN FOR i IN 1001..2000 LOOP UPDATE products SET price = i WHERE id = 1; COMMIT; END LOOP; END $$`,
  )
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'start', price: 2_000 } })
  expect(rig.versions('products', '1')).toBeLessThan(2_000)
  const prices = history(rig, 'products', '1').map((data) => Number(data.price))
  expect(prices).toEqual([...prices].sort((a, b) => a - b))
  await expectComplete(rig)
})

test('INSERT … ON CONFLICT, MERGE, COPY and cascades arrive like any write', async () => {
  const rig = await rigForTest({
    sql: `${sql}; CREATE TABLE parts (id integer PRIMARY KEY, product integer REFERENCES products ON DELETE CASCADE ON UPDATE CASCADE)`,
    tables: { ...tables, 'public.parts': { namespace: 'parts', fields: { product: true }, onDelete: 'tombstone' } },
  })
  await rig.db.query(`INSERT INTO products VALUES (1, 'a', 1); INSERT INTO parts VALUES (1, 1)`)
  await rig.db.query(`INSERT INTO products VALUES (1, 'x', 9), (2, 'b', 2) ON CONFLICT (id) DO UPDATE SET price = excluded.price;
    INSERT INTO products VALUES (1, 'nothing', 0), (3, 'c', 3) ON CONFLICT DO NOTHING;
    MERGE INTO products USING (VALUES (3, 'cc'), (4, 'd')) AS v (id, title) ON v.id = products.id
      WHEN MATCHED THEN UPDATE SET title = v.title WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.title, 4);
    COPY products (id, title, price) FROM PROGRAM 'printf "5\\tcopied\\t5\\n6\\tcopied\\t6\\n"'`)
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({
    1: { id: '1', title: 'a', price: 9 },
    2: { id: '2', title: 'b', price: 2 },
    3: { id: '3', title: 'cc', price: 3 },
    4: { id: '4', title: 'd', price: 4 },
    5: { id: '5', title: 'copied', price: 5 },
    6: { id: '6', title: 'copied', price: 6 },
  })
  await rig.db.query('UPDATE products SET id = 100 WHERE id = 1')
  await rig.caughtUp()
  expect(rig.sent('parts')).toEqual({ 1: { id: '1', product: 100 } })
  await rig.db.query('DELETE FROM products WHERE id = 100')
  await rig.caughtUp()
  expect(rig.sent('parts')).toEqual({ 1: dead('1') })
  await expectComplete(rig)
})

test('a transaction of many rows arrives whole, in batches', async () => {
  const rig = await rigForTest({ sql, tables: { 'public.products': tables['public.products'][0] } })
  await rig.db.query("INSERT INTO products SELECT i, 'row ' || i, i FROM generate_series(1, 20000) AS i")
  await rig.caughtUp()
  expect(rig.emulator.objects('products').size).toBe(20_000)
  expect(rig.emulator.object('products', '20000')?.data).toEqual({ id: '20000', title: 'row 20000', price: 20_000 })
  expect(rig.emulator.stats.calls.add).toBeLessThan(400)
  await expectComplete(rig)
})
