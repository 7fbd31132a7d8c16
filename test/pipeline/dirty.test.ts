import { expect, test } from 'vitest'
import { type Rig, rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'
import { expectComplete } from './complete.js'

const sql = `CREATE TABLE products (id bigint PRIMARY KEY, title text);
  CREATE TABLE lines (a text, b integer, note text, PRIMARY KEY (a, b))`
const tables = {
  'public.products': [
    { namespace: 'products', fields: { title: true } },
    { namespace: 'graves', fields: { title: true }, onDelete: 'tombstone' },
  ],
  'public.lines': { namespace: 'lines', fields: { note: true } },
}

const mark = (rig: Rig, source: string, key: string, force = false) =>
  rig.db.query('INSERT INTO safetykit.dirty (source, key, force) VALUES ($1, $2::jsonb, $3)', [source, key, force])
const workedOff = (rig: Rig) => soon(async () => expect(await rig.side('dirty', 'key IS NOT NULL')).toEqual([]))

/** Rows that were there before the slot: only their keys bring them in. */
const older = (options: { start?: boolean } = {}) =>
  rigForTest({
    sql: `${sql}; INSERT INTO products SELECT i, 'row ' || i FROM generate_series(1, 3000) AS i;
      INSERT INTO products VALUES (9007199254740993, 'snowflake'); INSERT INTO lines VALUES ('x:y', 7, 'n')`,
    tables,
    ...options,
  })

test('keys that are marked by hand are read and sent, each once, and are then deleted', async () => {
  const rig = await older()
  await mark(rig, 'public.products', '{"id": "1"}')
  await mark(rig, 'public.lines', '{"b": "7", "a": "x:y"}')
  await workedOff(rig)
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'row 1' } })
  expect(rig.sent('lines')).toEqual({ 'x:y:7': { id: 'x:y:7', note: 'n' } })
  // Numbers, as jsonb_build_object writes them, also those that JavaScript's numbers do not hold.
  await rig.db.query(`INSERT INTO safetykit.dirty (source, key)
    SELECT 'public.products', jsonb_build_object('id', id) FROM products WHERE id < 3 OR title = 'snowflake'`)
  await workedOff(rig)
  expect(rig.sent('products')).toMatchObject({
    2: { title: 'row 2' },
    '9007199254740993': { id: '9007199254740993', title: 'snowflake' },
  })
  expect(rig.versions('products', '1')).toBe(1)
  await expectComplete(rig)
})

test('many keys are worked off in batches, the same key often costs one request', async () => {
  const rig = await older()
  await rig.db.query(`INSERT INTO safetykit.dirty (source, key)
    SELECT 'public.products', jsonb_build_object('id', i::text) FROM generate_series(1, 3000) AS i;
    INSERT INTO safetykit.dirty (source, key) SELECT 'public.products', '{"id": "1"}' FROM generate_series(1, 500)`)
  await workedOff(rig)
  expect(rig.emulator.objects('products').size).toBe(3_000)
  expect(rig.versions('products', '1')).toBe(1)
  expect(rig.emulator.stats.calls.add).toBeLessThan(200)
  await expectComplete(rig)
})

test('what is unchanged is not sent again, unless force says so, and then once', async () => {
  const rig = await older()
  await mark(rig, 'public.products', '{"id": "1"}')
  await workedOff(rig)
  await mark(rig, 'public.products', '{"id": "1"}')
  await workedOff(rig)
  expect(rig.versions('products', '1')).toBe(1)
  await mark(rig, 'public.products', '{"id": "1"}', true)
  await workedOff(rig)
  expect(rig.versions('products', '1')).toBe(2)
  expect(rig.versions('graves', '1')).toBe(2)
  await expectComplete(rig)
})

test('the key of a row that is gone: nothing, or the tombstone of what was sent', async () => {
  const rig = await older()
  await mark(rig, 'public.products', '{"id": "1"}')
  await workedOff(rig)
  await rig.stop()
  // Written past the publication, so that the key alone tells of it.
  await rig.db.query(`ALTER PUBLICATION safetykit SET (publish = 'insert')`)
  await rig.db.query('DELETE FROM products WHERE id IN (1, 2)')
  await rig.start().catch(() => {})
  await rig.migrate()
  await rig.start()
  for (const force of [false, true]) {
    for (const id of ['1', '2', '99999']) await mark(rig, 'public.products', `{"id": "${id}"}`, force)
  }
  await workedOff(rig)
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'row 1' } })
  expect(rig.sent('graves')).toEqual({ 1: { id: '1', deleted: true } })
  await expectComplete(rig)
})

test('a key of a table that is not mapped waits for the mapping that has it', async () => {
  const rig = await older({ start: false })
  const products = { tables: { 'public.products': tables['public.products'] } }
  await rig.migrate(products)
  await rig.start(products)
  await mark(rig, 'public.lines', '{"a": "x:y", "b": "7"}')
  await mark(rig, 'public.nothing', '{"id": "1"}')
  await mark(rig, 'public.products', '{"id": "1"}')
  await soon(() => expect(rig.emulator.object('products', '1')).toBeDefined())
  await soon(async () => expect(await rig.side('dirty')).toHaveLength(2))
  await rig.stop()
  await rig.migrate()
  await rig.start()
  await soon(() => expect(rig.sent('lines')).toEqual({ 'x:y:7': { id: 'x:y:7', note: 'n' } }))
  await soon(async () => expect(await rig.side('dirty')).toMatchObject([{ source: 'public.nothing' }]))
})

test('keys that are none of their table have it scanned as a whole, and neither stop nor delay the others', async () => {
  const rig = await older()
  const malformed = [
    ...[
      '{}',
      '{"id": null}',
      '{"ID": "1", "x": "2"}',
      '{"id": "one"}',
      '{"id": ""}',
      '{"id": {"a": 1}}',
      '{"id": [1, 2]}',
    ],
    ...[
      '{"id": true}',
      '"1"',
      '1',
      'null',
      '[]',
      '[{"id": "1"}]',
      '{"id": "99999999999999999999999"}',
      '{"id": "1.5"}',
    ],
  ]
  for (const key of malformed) await mark(rig, 'public.products', key)
  await mark(rig, 'public.lines', '{"a": "x:y"}')
  await mark(rig, 'public.products', '{"id": "5"}')
  await soon(async () => {
    expect(await rig.side('dirty')).toEqual([])
    expect(await rig.side('scans', 'finished_at IS NOT NULL')).toHaveLength(2)
  })
  const { rows: products } = await rig.db.query<{ id: number }>('SELECT id FROM products')
  expect(Object.keys(rig.sent('products')).sort()).toEqual(products.map(({ id }) => String(id)).sort())
  const { rowCount: lines } = await rig.db.query('SELECT FROM lines')
  expect(Object.keys(rig.sent('lines'))).toHaveLength(lines ?? 0)
  // Nobody turns round and round on them.
  const before = await rig.side('scans')
  await mark(rig, 'public.products', '{"id": "6"}')
  await workedOff(rig)
  expect(await rig.side('scans')).toEqual(before)
  expect(rig.logged('error')).toEqual([])
  await expectComplete(rig)
})

test('a key stays in dirty until what follows from it is recorded', async () => {
  const rig = await older()
  const fault = rig.emulator.faults.add({ when: { namespace: 'products', path: 'add' }, do: { status: 503 } })
  await mark(rig, 'public.products', '{"id": "1"}')
  await soon(() => expect(fault.hits).toBeGreaterThan(1))
  await soon(() => expect(rig.emulator.object('graves', '1')).toBeDefined())
  expect(await rig.side('dirty')).toHaveLength(1)
  await rig.stop()
  expect(await rig.side('dirty')).toHaveLength(1)
  fault.remove()
  await rig.start()
  await workedOff(rig)
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'row 1' } })
  await expectComplete(rig)
})
