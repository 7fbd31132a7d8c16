import type { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { type Captured, type CaptureRig, captureForTest } from './rig.js'

const sql = `
  CREATE TABLE products (id integer PRIMARY KEY, title text, price integer, views integer DEFAULT 0);
  INSERT INTO products SELECT n, 'title', 1 FROM generate_series(1, 50) AS n`
const tables = {
  'public.products': { namespace: 'products', fields: { title: true, price: true }, onDelete: 'tombstone' },
}

/** How each statement of the application reads before and after. */
interface Statements {
  readonly insert: (id: number) => string
  readonly update: (id: number) => string
  readonly remove: (id: number) => string
}
const usual: Statements = {
  insert: (id) => `INSERT INTO products (id) VALUES (${id})`,
  update: (id) => `UPDATE products SET views = 1 WHERE id = ${id}`,
  remove: (id) => `DELETE FROM products WHERE id = ${id}`,
}
const set = (assignment: string): Pick<Statements, 'update'> => ({
  update: (id) => `UPDATE products SET ${assignment} WHERE id = ${id}`,
})

/** What has to be captured of each write: its row's key, or at least the whole table. */
type Precision = 'key' | 'key or table'

const migrations: readonly (readonly [name: string, ddl: string, after: Statements, precision: Precision])[] = [
  ['an unmapped column is dropped', 'DROP COLUMN views', { ...usual, ...set("title = 'x'") }, 'key'],
  ['an unmapped column is added', 'ADD COLUMN extra text', { ...usual, ...set("title = 'x', extra = 'y'") }, 'key'],
  [
    'a column is added in front of which others were dropped',
    'DROP COLUMN views, ADD COLUMN v2 integer',
    { ...usual, ...set('price = 2') },
    'key',
  ],
  ['a mapped column is dropped', 'DROP COLUMN price', { ...usual, ...set("title = 'x'") }, 'key'],
  ['a mapped column is renamed', 'RENAME COLUMN price TO cost', { ...usual, ...set('cost = 2') }, 'key'],
  ['a mapped column is retyped', 'ALTER COLUMN price TYPE text', { ...usual, ...set("price = '1.0'") }, 'key'],
  [
    'a mapped column is retyped to json',
    'ALTER COLUMN title TYPE json USING to_json(title)',
    { ...usual, ...set(`title = '{"a":1}'`) },
    'key',
  ],
  [
    'a mapped column is retyped to numeric',
    'ALTER COLUMN price TYPE numeric',
    { ...usual, ...set('price = 1.00') },
    'key',
  ],
  [
    'a mapped column becomes an array',
    'ALTER COLUMN price TYPE integer[] USING ARRAY[price]',
    { ...usual, ...set("price = '{}'") },
    'key',
  ],
  ['the key is retyped to bigint', 'ALTER COLUMN id TYPE bigint', { ...usual, ...set("title = 'x'") }, 'key'],
  [
    'the key is retyped to text',
    'ALTER COLUMN id TYPE text',
    {
      insert: (id) => `INSERT INTO products (id) VALUES ('${id}')`,
      update: (id) => `UPDATE products SET title = 'x' WHERE id = '${id}'`,
      remove: (id) => `DELETE FROM products WHERE id = '${id}'`,
    },
    'key',
  ],
  [
    'the key is renamed',
    'RENAME COLUMN id TO product_id',
    {
      insert: (id) => `INSERT INTO products (product_id) VALUES (${id})`,
      update: (id) => `UPDATE products SET title = 'x' WHERE product_id = ${id}`,
      remove: (id) => `DELETE FROM products WHERE product_id = ${id}`,
    },
    'key or table',
  ],
  [
    'the table is renamed',
    'RENAME TO goods',
    {
      insert: (id) => `INSERT INTO goods (id) VALUES (${id})`,
      update: (id) => `UPDATE goods SET title = 'x' WHERE id = ${id}`,
      remove: (id) => `DELETE FROM goods WHERE id = ${id}`,
    },
    'key',
  ],
  [
    'the table is moved',
    'SET SCHEMA elsewhere',
    {
      insert: (id) => `INSERT INTO elsewhere.products (id) VALUES (${id})`,
      update: (id) => `UPDATE elsewhere.products SET title = 'x' WHERE id = ${id}`,
      remove: (id) => `DELETE FROM elsewhere.products WHERE id = ${id}`,
    },
    'key',
  ],
]

const covers = (captured: readonly Captured[], id: number, precision: Precision): boolean =>
  captured.some(({ key }) => (key === null ? precision === 'key or table' : key.id === String(id)))

/** An insert, an update and a delete; each has to pass and to be captured. */
async function writeAll(
  rig: CaptureRig,
  client: Client,
  ids: readonly number[],
  after: Statements,
  precision: Precision,
) {
  const [first = 0, second = 0, third = 0] = ids
  for (const [id, statement] of [
    [first, after.insert(first)],
    [second, after.update(second)],
    [third, after.remove(third)],
  ] as const) {
    const captured = await rig.during(() => client.query(statement))
    expect(covers(captured, id, precision), `${statement}: ${JSON.stringify(captured)}`).toBe(true)
    expect(captured.length).toBe(1)
  }
}

describe('every migration passes, no write fails, nothing is missed', () => {
  test.each(migrations)('%s', async (_, ddl, after, precision) => {
    const rig = await captureForTest({ sql: `${sql}; CREATE SCHEMA elsewhere`, tables })
    const old = await rig.db.client()
    const warm = { ...usual, ...set("title = 'warm'") }
    for (const ids of [
      [101, 1, 2],
      [102, 3, 4],
      [103, 5, 6],
    ])
      await writeAll(rig, old, ids, warm, 'key')

    await rig.db.query(`ALTER TABLE products ${ddl}`)

    await writeAll(rig, old, [104, 7, 8], after, precision)
    await writeAll(rig, old, [105, 9, 10], after, precision)
    await writeAll(rig, await rig.db.client(), [106, 11, 12], after, precision)

    // And in the very transaction of the next migration.
    await old.query('BEGIN')
    await old.query(`ALTER TABLE ${/(?:INTO) (\S+)/.exec(after.insert(0))?.[1]} ADD COLUMN once_more integer`)
    await old.query(after.insert(107))
    await old.query('COMMIT')
    expect(covers(await rig.captured(), 107, precision)).toBe(true)
  })

  test('the key is retyped to one whose text depends on the session', async () => {
    const rig = await captureForTest({
      sql: `CREATE TABLE days (id text, n integer PRIMARY KEY, note text);
        ALTER TABLE days DROP CONSTRAINT days_pkey, ADD PRIMARY KEY (id)`,
      tables: { 'public.days': { namespace: 'days', fields: { note: true }, onDelete: 'tombstone' } },
    })
    const old = await rig.db.client()
    await old.query("SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata'")
    await old.query(`INSERT INTO days VALUES ('2026-02-01 00:00:00+00', 1, 'a'); UPDATE days SET note = 'b'`)
    await rig.db.query('ALTER TABLE days ALTER COLUMN id TYPE timestamptz USING id::timestamptz')
    for (const client of [old, await rig.db.client()]) {
      const captured = await rig.during(async () => {
        await client.query("SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata'")
        await client.query("INSERT INTO days VALUES (timestamptz '2026-03-01 00:00:00+00', 2, 'x')")
        await client.query('UPDATE days SET note = note || 1')
        await client.query('DELETE FROM days WHERE n = 2')
      })
      expect(captured.map(({ key }) => key?.id).sort()).toEqual([
        '2026-02-01 00:00:00+00',
        '2026-03-01 00:00:00+00',
        '2026-03-01 00:00:00+00',
        '2026-03-01 00:00:00+00',
      ])
    }
  })

  test('a key that can no longer be told marks the table once a statement of inserts', async () => {
    const rig = await captureForTest({ sql, tables })
    await rig.db.query('ALTER TABLE products RENAME COLUMN id TO product_id')
    const captured = await rig.during(() =>
      rig.db.query('INSERT INTO products (product_id) SELECT n FROM generate_series(1000, 1999) AS n'),
    )
    expect(captured).toEqual([{ source: 'public.products', key: null }])
  })

  test('the table is dropped and made anew: the check tells, migrate makes its triggers and marks it', async () => {
    const rig = await captureForTest({ sql, tables })
    await rig.db.query(`INSERT INTO safetykit.objects (namespace, object_id, source, state)
      VALUES ('products', '1', 'public.products', 'accepted')`)
    await rig.db.query(`DROP TABLE products; ${sql}`)
    const [finding, ...more] = await rig.check()
    expect(more).toEqual([])
    expect(finding?.source).toBe('public.products')
    expect(finding?.message).toContain('does not exist')
    expect(finding?.hint).toContain('safetykit-sync migrate')
    const captured = await rig.during(async () => {
      expect(await rig.migrate()).toEqual([
        'Made the triggers of public.products',
        'Marked public.products for a scan: it may have changed while it had no triggers',
      ])
    })
    expect(captured).toEqual([{ source: 'public.products', key: null }])
    expect(await rig.check()).toEqual([])
    expect(await rig.during(() => rig.db.query('INSERT INTO products (id) VALUES (99)'))).toEqual([
      { source: 'public.products', key: { id: '99' } },
    ])
  })

  test('a renamed table whose mapping follows', async () => {
    const rig = await captureForTest({ sql, tables })
    await rig.db.query('ALTER TABLE products RENAME TO goods')
    const renamed = { tables: { 'public.goods': tables['public.products'] } }
    expect((await rig.check(renamed))[0]?.message).toContain('is another one')
    expect(await rig.migrate(renamed)).toEqual(['Made the triggers of public.goods'])
    expect(await rig.check(renamed)).toEqual([])
    expect(await rig.during(() => rig.db.query('INSERT INTO goods (id) VALUES (99)'))).toEqual([
      { source: 'public.goods', key: { id: '99' } },
    ])
    const { rows } = await rig.db.query(
      `SELECT proname FROM pg_proc WHERE pronamespace = 'safetykit'::regnamespace ORDER BY 1`,
    )
    expect(rows.map(({ proname }) => proname)).toEqual([
      'key_text',
      'public.goods.delete',
      'public.goods.insert',
      'public.goods.update',
    ])
  })

  test('a mapping that follows a renamed column', async () => {
    const rig = await captureForTest({ sql, tables })
    await rig.db.query('ALTER TABLE products RENAME COLUMN price TO cost')
    const renamed = { tables: { 'public.products': { namespace: 'products', fields: { title: true, cost: true } } } }
    expect((await rig.check(renamed))[0]?.message).toContain('do not fit the mapping')
    expect(await rig.migrate(renamed)).toEqual([
      'Replaced the trigger functions of public.products',
      'Dropped the trigger safetykit_delete of public.products',
    ])
    expect(await rig.during(() => rig.db.query('UPDATE products SET views = 7'))).toEqual([])
    expect(await rig.during(() => rig.db.query('DELETE FROM products WHERE id = 1'))).toEqual([])
    expect((await rig.during(() => rig.db.query('UPDATE products SET cost = 7 WHERE id < 4'))).length).toBe(2)
    expect(await rig.check(renamed)).toEqual([])
  })
})
