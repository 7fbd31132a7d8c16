import fc from 'fast-check'
import { expect, test } from 'vitest'
import { splitId } from '../../src/pipeline/scan/id-splits.js'
import { scanRig } from './rig.js'

test('an object whose row is gone is found where its mapping sends tombstones, and only there', async () => {
  const rig = await scanRig({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text); INSERT INTO products SELECT i, 't' FROM generate_series(1, 2500) i`,
    tables: {
      'public.products': [
        { namespace: 'kept', fields: { title: true } },
        { namespace: 'graves', id: { prefix: 'p-' }, fields: { title: true }, onDelete: 'tombstone' },
      ],
    },
  })
  await rig.mark('public.products')
  await rig.scan()
  await rig.deliver()
  await rig.db.query('DELETE FROM products WHERE id IN (1, 1700, 2500)')
  await rig.mark('public.products')
  await rig.scan()
  expect(await rig.waiting()).toEqual([{ id: '1' }, { id: '1700' }, { id: '2500' }])
  const before = rig.delivered.length
  await rig.deliver()
  expect(rig.delivered.slice(before)).toEqual(['graves/p-1', 'graves/p-1700', 'graves/p-2500'])
  await rig.mark('public.products')
  await rig.scan()
  expect(await rig.waiting()).toEqual([])
  await rig.db.query(`INSERT INTO products VALUES (1, 't')`)
  await rig.mark('public.products')
  await rig.scan()
  expect(await rig.waiting()).toEqual([{ id: '1' }])
})

test('a row that is no longer selected gets its tombstone', async () => {
  const rig = await scanRig({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text); INSERT INTO products VALUES (1, 'shown'), (2, 'shown'), (3, 'hidden')`,
    tables: {
      'public.products': {
        namespace: 'products',
        fields: { title: true },
        where: (row: { title: string }) => row.title !== 'hidden',
        onDelete: 'tombstone',
      },
    },
  })
  await rig.mark('public.products')
  await rig.scan()
  expect(await rig.waiting()).toEqual([{ id: '1' }, { id: '2' }])
  await rig.deliver()
  await rig.db.query(`UPDATE products SET title = 'hidden'`)
  await rig.mark('public.products')
  await rig.scan()
  expect(new Set(await rig.waiting())).toEqual(new Set([{ id: '1' }, { id: '2' }]))
  expect(await rig.deliver()).toBe(2)
  await rig.mark('public.products')
  await rig.scan()
  expect(await rig.waiting()).toEqual([])
})

test('the key of a composite id is told by the rows that exist, also where values hold the separator', async () => {
  const rig = await scanRig({
    sql: `CREATE TABLE lines (a text, b text, n integer, note text, PRIMARY KEY (a, b, n));
      INSERT INTO lines VALUES ('x:y', 'z', 1, 'n'), ('q', 'r:s', 2, 'n'), (':', '::', 3, 'n'), ('', '', 4, 'n'), ('a', 'b', 5, 'n')`,
    tables: { 'public.lines': { namespace: 'lines', fields: { note: true }, onDelete: 'tombstone' } },
  })
  await rig.mark('public.lines')
  await rig.scan()
  expect(await rig.deliver()).toBe(5)
  await rig.db.query('DELETE FROM lines WHERE n IN (3, 5)')
  await rig.mark('public.lines')
  await rig.scan()
  expect(await rig.waiting()).toHaveLength(2)
  const before = rig.delivered.length
  await rig.deliver()
  expect(new Set(rig.delivered.slice(before))).toEqual(new Set(['lines/:::::3', 'lines/a:b:5']))
})

test('an id that does not name the key leaves the object alone', async () => {
  const rig = await scanRig({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, sku text NOT NULL, title text); INSERT INTO products VALUES (1, 'a', 't'), (2, 'b', 't')`,
    tables: {
      'public.products': {
        namespace: 'products',
        id: { fields: ['sku'] },
        fields: { title: true },
        onDelete: 'tombstone',
      },
    },
  })
  await rig.mark('public.products')
  await rig.scan()
  expect(await rig.deliver()).toBe(2)
  await rig.db.query('DELETE FROM products WHERE id = 1')
  await rig.mark('public.products')
  await rig.scan()
  expect(await rig.waiting()).toEqual([])
})

test('what the ledger has under an id that is no key any more is left alone, and told', async () => {
  const rig = await scanRig({
    sql: `CREATE TABLE products (id text PRIMARY KEY, title text); INSERT INTO products VALUES ('1', 't'), ('x', 't')`,
    tables: { 'public.products': { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' } },
  })
  await rig.mark('public.products')
  await rig.scan()
  await rig.deliver()
  await rig.db.query(
    `DELETE FROM products WHERE id = 'x'; ALTER TABLE products ALTER COLUMN id TYPE integer USING id::integer`,
  )
  await rig.sources.refresh()
  await rig.mark('public.products')
  await rig.scan()
  expect(await rig.waiting()).toEqual([])
  expect(rig.log).toContainEqual(
    expect.objectContaining({ level: 'warn', fields: { source: 'public.products', objects: 1 } }),
  )
})

test('every way to split an id gives the id again, and the right one is among them', () => {
  const part = fc.string({ unit: fc.constantFrom('a', ':', '::', 'b'), maxLength: 4 })
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), fc.constantFrom(':', '::', 'a'), (parts, separator) => {
      const id = parts.join(separator)
      const splits = splitId(id, separator, parts.length)
      if (splits.length === 0) return
      for (const split of splits) expect(split.join(separator)).toBe(id)
      expect(splits).toContainEqual(parts)
    }),
  )
})

test('an id that could be split in too many ways is not split', () => {
  expect(splitId(':'.repeat(200), ':', 4)).toEqual([])
  expect(splitId('a:b', ':', 3)).toEqual([])
})
