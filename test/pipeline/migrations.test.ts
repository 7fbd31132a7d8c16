import { expect, test } from 'vitest'
import { type Rig, rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'
import { expectComplete } from './complete.js'

/** Two tables: what happens to one must not hold the other up. */
const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text, price integer, note text);
  CREATE TABLE sellers (id integer PRIMARY KEY, name text)`
const sellers = { 'public.sellers': { namespace: 'sellers', fields: { name: true } } }
const mapped = (fields: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  'public.products': { namespace: 'products', fields, ...more },
  ...sellers,
})
const tables = mapped({ title: true, price: true }, { onDelete: 'tombstone' })

let next = 0
/** A write of the other table arrives. */
async function othersGoOn(rig: Rig): Promise<void> {
  next += 1
  const id = String(next)
  await rig.db.query('INSERT INTO sellers VALUES ($1, $2)', [id, 'still here'])
  await soon(() => expect(rig.sent('sellers')).toMatchObject({ [id]: { name: 'still here' } }))
}

const waiting = async (rig: Rig): Promise<string[]> =>
  [...new Set((await rig.side<{ key: unknown }>('dirty')).map(({ key }) => JSON.stringify(key)))].sort()

/** Nothing that lacks a mapped field, or has null for what is not null, was ever sent. */
function expectWhole(rig: Rig, fields: readonly string[]): void {
  for (const id of Object.keys(rig.sent('products'))) {
    for (const { data } of rig.emulator.history('products', id)) {
      if (data.deleted === true) continue
      for (const field of fields) expect(data[field]).toBeTypeOf(field === 'price' ? 'number' : 'string')
    }
  }
}

test('unmapped columns are added, dropped, renamed and retyped in mid-stream, and every row arrives', async () => {
  const rig = await rigForTest({ sql, tables })
  const steps = [
    'ALTER TABLE products ADD COLUMN extra text',
    'ALTER TABLE products ADD COLUMN flag boolean NOT NULL DEFAULT true, ADD COLUMN born timestamptz DEFAULT now()',
    'ALTER TABLE products RENAME COLUMN extra TO extras',
    'ALTER TABLE products ALTER COLUMN extras TYPE integer USING length(extras)',
    'ALTER TABLE products DROP COLUMN extras',
    'ALTER TABLE products DROP COLUMN note',
    'ALTER TABLE products ADD COLUMN note integer',
  ]
  for (const [index, step] of steps.entries()) {
    await rig.db.query('INSERT INTO products (id, title, price) VALUES ($1, $2, 1)', [index * 10, 'before'])
    await rig.db.query(`BEGIN; INSERT INTO products (id, title, price) VALUES (${index * 10 + 1}, 'during', 2); ${step};
      INSERT INTO products (id, title, price) VALUES (${index * 10 + 2}, 'after', 3); COMMIT`)
    await rig.db.query('UPDATE products SET price = 4 WHERE id = $1', [index * 10])
  }
  await rig.caughtUp()
  const { rows } = await rig.db.query<{ id: number; title: string; price: number }>(
    'SELECT id, title, price FROM products',
  )
  expect(rig.sent('products')).toEqual(Object.fromEntries(rows.map((row) => [row.id, { ...row, id: String(row.id) }])))
  expect(rig.logged('warn', 'error')).toEqual([])
  await expectComplete(rig)
})

test('a mapped column is retyped in mid-stream: its values arrive as the new type has them', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await rig.db.query(`ALTER TABLE products ALTER COLUMN price TYPE bigint; ALTER TABLE products ALTER COLUMN title TYPE varchar(40);
    INSERT INTO products VALUES (2, 'b', 9007199254740993)`)
  await rig.db.query(`CREATE TYPE kind AS ENUM ('a', 'b', 'c'); ALTER TABLE products ALTER COLUMN title TYPE kind USING title::kind;
    INSERT INTO products VALUES (3, 'c', 3); UPDATE products SET price = 11 WHERE id = 1`)
  await rig.db.query(`CREATE DOMAIN kinds AS kind[]; ALTER TABLE products ALTER COLUMN title TYPE kinds USING ARRAY[title];
    INSERT INTO products VALUES (4, '{c,a}', 4)`)
  await rig.caughtUp()
  expect(rig.sent('products')).toMatchObject({
    1: { title: expect.anything(), price: 11 },
    2: { price: '9007199254740993' },
    3: { title: expect.anything(), price: 3 },
    4: { id: '4', title: ['c', 'a'], price: 4 },
  })
  await othersGoOn(rig)
  await expectComplete(rig)
})

test('a column that is mapped from a migration on: rows written before it are read as they are now', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await rig.caughtUp()
  await rig.stop()
  await rig.db.query("INSERT INTO products VALUES (2, 'b', 2); UPDATE products SET price = 10 WHERE id = 1")
  await rig.db.query("ALTER TABLE products ADD COLUMN brand text NOT NULL DEFAULT 'none'")
  await rig.db.query("INSERT INTO products VALUES (3, 'c', 3, NULL, 'new')")
  const more = { tables: mapped({ title: true, price: true, brand: true }) }
  await rig.migrate(more)
  await rig.start(more)
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({
    1: { id: '1', title: 'a', price: 10, brand: 'none' },
    2: { id: '2', title: 'b', price: 2, brand: 'none' },
    3: { id: '3', title: 'c', price: 3, brand: 'new' },
  })
  await expectComplete(rig)
})

test('a mapped column is renamed: the sidecar says so and goes on, the keys wait, and the mended mapping sends them', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
  await rig.caughtUp()
  await rig.db.query(`BEGIN; UPDATE products SET price = 11 WHERE id = 1; ALTER TABLE products RENAME COLUMN title TO label;
    UPDATE products SET price = 12 WHERE id = 2; COMMIT; INSERT INTO products VALUES (4, 'd', 4)`)
  await rig.caughtUp()
  await othersGoOn(rig)
  const [misfit] = rig.logged('error')
  expect(misfit?.fields).toMatchObject({
    source: 'public.products',
    mistakes: [{ path: expect.stringContaining('title'), hint: expect.stringContaining('label') }],
    hint: expect.stringContaining('restart'),
  })
  expect(rig.logged('error')).toHaveLength(1)
  expectWhole(rig, ['title', 'price'])
  expect(await waiting(rig)).toEqual(expect.arrayContaining(['{"id":"2"}', '{"id":"4"}']))
  await rig.stop()

  await expect(rig.start()).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('label') })
  const mended = { tables: mapped({ label: { as: 'title' }, price: true }) }
  await rig.start(mended)
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  expect(rig.sent('products')).toEqual({
    1: { id: '1', title: 'a', price: 11 },
    2: { id: '2', title: 'b', price: 12 },
    3: { id: '3', title: 'c', price: 3 },
    4: { id: '4', title: 'd', price: 4 },
  })
  await expectComplete(rig)
})

test('a mapped column is dropped: no object without it is sent, and a mapping without it sends what waits', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1), (2, 'b', 2), (9, 'gone', 9)")
  await rig.caughtUp()
  await rig.db.query(`ALTER TABLE products DROP COLUMN price; INSERT INTO products VALUES (3, 'c');
    UPDATE products SET title = 'bb' WHERE id = 2; DELETE FROM products WHERE id = 9`)
  await rig.caughtUp()
  await othersGoOn(rig)
  expectWhole(rig, ['title', 'price'])
  expect(Object.keys(rig.sent('products'))).not.toContain('3')
  expect(await waiting(rig)).toEqual(expect.arrayContaining(['{"id":"2"}', '{"id":"3"}']))
  await rig.stop()
  await rig.start({ tables: mapped({ title: true }, { onDelete: 'tombstone' }) })
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  expect(rig.sent('products')).toMatchObject({
    2: { id: '2', title: 'bb' },
    3: { id: '3', title: 'c' },
    9: { id: '9', deleted: true },
  })
  await expectComplete(rig)
})

test('a migration that is undone is noticed: the keys that waited are sent without a restart', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query('ALTER TABLE products RENAME COLUMN price TO cost')
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await soon(async () => expect(await waiting(rig)).toEqual(['{"id":"1"}']))
  await rig.db.query('ALTER TABLE products RENAME COLUMN cost TO price')
  await soon(() => expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'a', price: 1 } }))
  await rig.db.query("INSERT INTO products VALUES (2, 'b', 2)")
  await soon(() => expect(rig.sent('products')).toMatchObject({ 2: { title: 'b', price: 2 } }))
})

test('the key column is renamed: rows written before, during and after it arrive', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1), (2, 'b', 2)")
  await rig.caughtUp()
  await rig.db.query(`BEGIN; UPDATE products SET price = 11 WHERE id = 1; ALTER TABLE products RENAME COLUMN id TO product_id;
    INSERT INTO products VALUES (3, 'c', 3); COMMIT`)
  await rig.db.query('DELETE FROM products WHERE product_id = 2')
  await rig.caughtUp()
  await rig.db.query("UPDATE products SET title = 'aa' WHERE product_id = 1; INSERT INTO products VALUES (4, 'd', 4)")
  await rig.caughtUp()
  await othersGoOn(rig)
  const expected = {
    1: { id: '1', title: 'aa', price: 11 },
    2: { id: '2', deleted: true },
    3: { id: '3', title: 'c', price: 3 },
    4: { id: '4', title: 'd', price: 4 },
  }
  expect(rig.sent('products')).toEqual(expected)
  // And rows that were written under the old name while nobody read, are read under the new one.
  await rig.stop()
  await rig.db.query("INSERT INTO products VALUES (5, 'e', 5)")
  await rig.db.query('ALTER TABLE products RENAME COLUMN product_id TO number')
  await rig.start()
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ ...expected, 5: { id: '5', title: 'e', price: 5 } })
  expect(await rig.side('dirty')).toEqual([])
  await expectComplete(rig)
})

test('the key column is retyped: rows whose key only the new type holds are read by it', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await rig.caughtUp()
  await rig.db.query('ALTER TABLE products ALTER COLUMN id TYPE bigint')
  await rig.db.query("INSERT INTO products VALUES (9007199254740993, 'b', 2)")
  await rig.db.query(
    `INSERT INTO safetykit.dirty (source, key, force) VALUES ('public.products', '{"id": "9007199254740993"}', true)`,
  )
  await soon(() => expect(rig.versions('products', '9007199254740993')).toBe(2))
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
})

test('a mapped table is renamed: its rows go on arriving, and the restart asks for the new name', async () => {
  const rig = await rigForTest({ sql, tables })
  const big = 'x'.repeat(3_000)
  await rig.db.query(`ALTER TABLE products ALTER COLUMN title SET STORAGE EXTERNAL`)
  await rig.db.query('INSERT INTO products VALUES (1, $1, 1)', [big])
  await rig.caughtUp()
  await rig.db.query('ALTER TABLE products RENAME TO goods')
  await rig.db.query("INSERT INTO goods VALUES (2, 'b', 2)")
  // The text is not in the WAL: the row is read from the table.
  await rig.db.query('UPDATE goods SET price = 10 WHERE id = 1')
  await othersGoOn(rig)
  await rig.caughtUp()
  await rig.stop()
  await expect(rig.start()).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  await rig.start({ tables: { 'public.goods': tables['public.products'], ...sellers } })
  await rig.db.query("INSERT INTO goods VALUES (3, 'c', 3)")
  await soon(() =>
    expect(rig.sent('products')).toEqual({
      1: { id: '1', title: big, price: 10 },
      2: { id: '2', title: 'b', price: 2 },
      3: { id: '3', title: 'c', price: 3 },
    }),
  )
  expect(await rig.side('dirty')).toEqual([])
})

test('a mapped table is dropped in mid-stream: the others go on', async () => {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await rig.caughtUp()
  await rig.db.query("UPDATE products SET title = 'b'; DROP TABLE products")
  await othersGoOn(rig)
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'b', price: 1 } })
})

test('migrate follows the mapping: a table that is added is captured from then on, one that is taken out is not', async () => {
  const rig = await rigForTest({ sql, tables: { 'public.products': tables['public.products'] }, start: false })
  expect(await rig.migrate()).toEqual([])
  const both = { tables }
  await expect(rig.start(both)).rejects.toMatchObject({
    code: 'PUBLICATION_UNFIT',
    hint: expect.stringContaining('ALTER PUBLICATION "safetykit" ADD TABLE ONLY "public"."sellers"'),
  })
  expect(await rig.migrate(both)).toEqual([expect.stringContaining('"public"."sellers"')])
  expect(await rig.migrate(both)).toEqual([])
  await rig.start(both)
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1); INSERT INTO sellers VALUES (1000, 's')")
  await rig.caughtUp()
  expect(rig.sent('sellers')).toEqual({ 1000: { id: '1000', name: 's' } })
  await rig.stop()

  const one = { tables: sellers }
  expect(await rig.migrate(one)).toEqual([expect.stringContaining('DROP TABLE ONLY "public"."products"')])
  await rig.start(one)
  await rig.db.query("UPDATE products SET title = 'b'; UPDATE sellers SET name = 't'")
  await rig.caughtUp()
  expect(rig.versions('products', '1')).toBe(1)
  expect(rig.sent('sellers')).toEqual({ 1000: { id: '1000', name: 't' } })
})

test('migrate runs in several processes at once, and twice, and makes everything once', async () => {
  const rig = await rigForTest({ sql, tables, start: false })
  await rig.db.query(`SELECT pg_drop_replication_slot('${rig.db.name}')`)
  await rig.db.query('DROP PUBLICATION safetykit; DROP SCHEMA safetykit CASCADE')
  const done = (await Promise.all([1, 2, 3, 4].map(() => rig.migrate()))).flat()
  expect(new Set(done).size).toBe(done.length)
  // Each version of the side tables, the publication and the slot.
  expect(done).toHaveLength(7)
  expect(await rig.migrate()).toEqual([])
  await rig.start()
  await othersGoOn(rig)
})

test('columns: mapped keeps all other columns inside the database', async () => {
  const settings = { publication: { columns: 'mapped' as const } }
  const rig = await rigForTest({
    sql: `${sql}; ALTER TABLE products ADD COLUMN secret text NOT NULL DEFAULT 'never'`,
    tables,
    settings,
    start: false,
  })
  const { rows } = await rig.db.query<{ attnames: string }>(
    `SELECT attnames::text FROM pg_publication_tables WHERE tablename = 'products'`,
  )
  expect(rows).toEqual([{ attnames: '{id,title,price}' }])
  await rig.db.query(`SELECT pg_create_logical_replication_slot('${rig.db.name}_eye', 'pgoutput')`)
  await rig.start()
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1, 'note', 'top-secret'); UPDATE products SET price = 2")
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'a', price: 2 } })
  const wire = await rig.db.query<{ data: Buffer }>(
    `SELECT data FROM pg_logical_slot_get_binary_changes('${rig.db.name}_eye', NULL, NULL, 'proto_version', '1', 'publication_names', 'safetykit')`,
  )
  const bytes = Buffer.concat(wire.rows.map((row) => row.data)).toString('latin1')
  expect(bytes).toContain('title')
  for (const kept of ['top-secret', 'secret', 'note']) expect(bytes).not.toContain(kept)
  // The mapping changes, and the list with it.
  await rig.stop()
  const wider = { tables: mapped({ title: true, price: true, note: true }), settings }
  await expect(rig.start(wider)).rejects.toMatchObject({ code: 'PUBLICATION_UNFIT' })
  await rig.migrate(wider)
  await rig.start(wider)
  await rig.db.query('UPDATE products SET price = 3')
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'a', price: 3, note: 'note' } })
})
