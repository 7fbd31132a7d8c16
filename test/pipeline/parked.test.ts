import { expect, test } from 'vitest'
import { type Rig, rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'
import { expectComplete } from './complete.js'

const sql = 'CREATE TABLE products (id integer PRIMARY KEY, title text)'
const products = { namespace: 'products', fields: { title: true } }
const tables = { 'public.products': products }
const quick = (...retryAfterMs: number[]) => ({ parking: { retryAfterMs } })

interface Refused {
  readonly object_id: string
  readonly state: string
  readonly attempts: number
  readonly retry_at: Date | null
  readonly request_id: string | null
  readonly error: { readonly code: string; readonly status: number | null; readonly message: string }
}
const refused = (rig: Rig) => rig.side<Refused>('objects', "state <> 'accepted'")

test('one poisoned row among 10,000 is parked with the words of the API, and everything else arrives', async () => {
  const rig = await rigForTest({ sql, tables })
  rig.emulator.faults.add({
    when: { path: 'add', ids: ['7777'] },
    do: { reject: 422, message: 'title: too many adjectives' },
  })
  await rig.db.query("INSERT INTO products SELECT i, 'row ' || i FROM generate_series(1, 10000) AS i")
  await rig.caughtUp()
  expect(rig.emulator.objects('products').size).toBe(9_999)
  expect(rig.emulator.object('products', '7777')).toBeUndefined()
  expect(await refused(rig)).toMatchObject([
    {
      object_id: '7777',
      state: 'parked',
      attempts: 1,
      request_id: null,
      error: { code: 'API_REJECTED', status: 422, message: expect.stringContaining('title: too many adjectives') },
    },
  ])
  expect(rig.pipeline.counts).toMatchObject({ accepted: 9_999, parked: 1 })
  // Each object was accepted once: a refused batch is split, not repeated.
  expect(rig.emulator.stats.acceptedObjects).toBe(9_999)
  const told = rig.logged('warn').filter(({ fields }) => fields.state === 'parked')
  expect(told).toMatchObject([{ fields: { namespace: 'products', code: 'API_REJECTED', status: 422 } }])
  expect(JSON.stringify(told)).not.toContain('7777')
  await expectComplete(rig)
})

test('a parked object is tried again on its schedule, with the row as it is then', async () => {
  const rig = await rigForTest({ sql, tables, settings: quick(100, 100, 60_000) })
  const fault = rig.emulator.faults.add({ when: { path: 'add', ids: ['1'] }, do: { reject: 400, message: 'no' } })
  await rig.db.query("INSERT INTO products VALUES (1, 'a'), (2, 'b')")
  await soon(async () => expect(await refused(rig)).toMatchObject([{ object_id: '1', attempts: 2 }]))
  fault.remove()
  await soon(async () => expect(await refused(rig)).toEqual([]))
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'a' }, 2: { id: '2', title: 'b' } })
  expect(await rig.side('objects', "object_id = '1'")).toMatchObject([
    { state: 'accepted', attempts: 0, retry_at: null, error: null, key: null },
  ])
  await expectComplete(rig)
})

test('a parked object survives a restart, and its schedule too', async () => {
  const rig = await rigForTest({ sql, tables, settings: quick(100) })
  const fault = rig.emulator.faults.add({ when: { path: 'add' }, do: { reject: 400, message: 'no' } })
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  await rig.stop()
  fault.remove()
  await rig.start()
  await soon(() => expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'a' } }))
})

test('when the schedule is used up the object is dead, stays visible, and a change of its row gives it a new life', async () => {
  const rig = await rigForTest({ sql, tables, settings: quick(50, 50) })
  const fault = rig.emulator.faults.add({ when: { path: 'add', ids: ['1'] }, do: { reject: 400, message: 'no' } })
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await soon(async () =>
    expect(await refused(rig)).toMatchObject([{ state: 'dead', attempts: 3, retry_at: null, error: { status: 400 } }]),
  )
  const { hits } = fault
  await rig.db.query("INSERT INTO products VALUES (2, 'b')")
  await rig.caughtUp()
  expect(fault.hits).toBe(hits)
  fault.remove()
  await rig.db.query("UPDATE products SET title = 'better' WHERE id = 1")
  await rig.caughtUp()
  expect(rig.sent('products')).toMatchObject({ 1: { title: 'better' } })
  expect(await refused(rig)).toEqual([])
  await expectComplete(rig)
})

test('a parked object whose row is deleted is parked no more', async () => {
  const rig = await rigForTest({
    sql,
    tables: { 'public.products': { ...products, onDelete: 'tombstone' } },
    settings: quick(3_600_000),
  })
  const fault = rig.emulator.faults.add({ when: { path: 'add', ids: ['1', '2'] }, do: { reject: 400, message: 'no' } })
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  expect(await refused(rig)).toHaveLength(1)
  await rig.db.query('DELETE FROM products')
  await rig.caughtUp()
  expect(await rig.side('objects')).toEqual([])
  // One that was accepted before keeps its request.
  fault.remove()
  await rig.db.query("INSERT INTO products VALUES (2, 'a')")
  await rig.caughtUp()
  const again = rig.emulator.faults.add({ when: { path: 'add', ids: ['2'] }, do: { reject: 400, message: 'no' } })
  await rig.db.query("UPDATE products SET title = 'b'")
  await rig.caughtUp()
  const request = rig.emulator.object('products', '2')?.requestId
  expect(await refused(rig)).toMatchObject([{ object_id: '2', state: 'parked', request_id: request }])
  again.remove()
  await rig.db.query('DELETE FROM products')
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ 2: { id: '2', deleted: true } })
  expect(await refused(rig)).toEqual([])
  await expectComplete(rig)
})

test('a computed field that throws, or gives what is not JSON, parks its object only, and the log holds no value', async () => {
  const computed = {
    shout: {
      value: (row: { title?: unknown }) => {
        if (row.title === 'throws') throw new Error(`I do not like ${row.title}`)
        if (row.title === 'bigint') return 1n
        if (row.title === 'date') return new Date(0)
        if (row.title === 'nan') return Number.NaN
        if (row.title === 'promise') return Promise.reject(new Error('late'))
        return String(row.title).toUpperCase()
      },
    },
  }
  const where = (row: { title?: unknown }) => {
    if (row.title === 'where throws') throw new Error('where')
    return row.title === 'where undefined' ? (undefined as unknown as boolean) : true
  }
  const rig = await rigForTest({
    sql,
    tables: { 'public.products': { ...products, computed, where } },
    settings: quick(3_600_000),
  })
  const titles = ['throws', 'bigint', 'date', 'nan', 'promise', 'where throws', 'where undefined']
  await rig.db.query('INSERT INTO products SELECT n, t FROM unnest($1::text[]) WITH ORDINALITY AS u (t, n)', [titles])
  await rig.db.query("INSERT INTO products VALUES (100, 'fine')")
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ 100: { id: '100', title: 'fine', shout: 'FINE' } })
  const parked = await refused(rig)
  expect(parked.map(({ object_id }) => object_id).sort()).toEqual(['1', '2', '3', '4', '5', '6', '7'])
  for (const { error } of parked) {
    expect(error).toMatchObject({ code: 'OBJECT_INVALID', status: null, message: expect.stringMatching(/shout|where/) })
  }
  for (const title of ['I do not like', 'late']) expect(JSON.stringify([parked, rig.log])).not.toContain(title)
  await rig.db.query("UPDATE products SET title = 'mended'")
  await rig.caughtUp()
  expect(Object.keys(rig.sent('products'))).toHaveLength(8)
  expect(await refused(rig)).toEqual([])
  await expectComplete(rig)
})

test('an object that is larger than a request is parked, not dropped, and its neighbours arrive', async () => {
  const rig = await rigForTest({ sql, tables, settings: { delivery: { maxBatchBytes: 10_000 }, ...quick(3_600_000) } })
  await rig.db.query(
    "INSERT INTO products VALUES (1, 'small'), (2, repeat('large', 3000)), (3, repeat('x', 9900)), (4, 'small')",
  )
  await rig.caughtUp()
  expect(Object.keys(rig.sent('products'))).toEqual(['1', '3', '4'])
  expect(await refused(rig)).toMatchObject([
    { object_id: '2', error: { code: 'OBJECT_TOO_LARGE', hint: expect.stringContaining('maxBatchBytes') } },
  ])
  await rig.db.query("UPDATE products SET title = 'less' WHERE id = 2")
  await rig.caughtUp()
  expect(rig.sent('products')).toMatchObject({ 2: { title: 'less' } })
  await expectComplete(rig)
})
