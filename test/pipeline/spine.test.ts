import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRig, type Rig } from '../support/pipeline.js'
import { soon } from '../support/soon.js'

let rig: Rig

beforeAll(async () => {
  rig = await createRig({
    sql: `CREATE TABLE products (id bigint PRIMARY KEY, title text, price numeric(10, 2), tags text[], views integer DEFAULT 0)`,
    tables: {
      'public.products': {
        namespace: 'products',
        fields: { title: { display_hint: { type: 'title' } }, price: true, tags: true },
      },
    },
  })
  await rig.start()
})
afterAll(() => rig.close())

test('a committed row arrives as it is, and the side tables say under which request', async () => {
  await rig.db.query("INSERT INTO products VALUES (1, 'Chair', 12.50, '{oak,old}')")
  const stored = await soon(() => {
    const found = rig.emulator.object('products', '1')
    expect(found?.data).toEqual({ id: '1', title: 'Chair', price: 12.5, tags: ['oak', 'old'] })
    return found!
  })
  await soon(async () => {
    const { rows } = await rig.db.query(
      `SELECT o.state, o.request_id, o.source, r.object_count, s.request_id AS submitted
       FROM safetykit.objects o JOIN safetykit.requests r ON r.request_id = o.request_id
       JOIN safetykit.submissions s ON s.namespace = o.namespace AND s.object_id = o.object_id
       WHERE o.object_id = '1'`,
    )
    const request = stored.requestId
    expect(rows).toEqual([
      { state: 'accepted', request_id: request, source: 'public.products', object_count: 1, submitted: request },
    ])
  })
})

test('an update gets a request of its own; one of unmapped columns gets none', async () => {
  const before = rig.emulator.object('products', '1')
  await rig.db.query("UPDATE products SET views = views + 1; UPDATE products SET title = 'Table' WHERE id = 1")
  await soon(() => expect(rig.emulator.object('products', '1')?.data).toMatchObject({ title: 'Table' }))
  expect(rig.emulator.object('products', '1')?.requestId).not.toBe(before?.requestId)
  await rig.db.query('UPDATE products SET views = views + 1')
  await rig.db.query("INSERT INTO products VALUES (2, 'Lamp', 3, NULL)")
  await soon(() =>
    expect(rig.emulator.object('products', '2')?.data).toEqual({ id: '2', title: 'Lamp', price: 3, tags: null }),
  )
  expect(rig.emulator.history('products', '1')).toHaveLength(2)
})

test('the settings of the namespace were pushed once', async () => {
  expect(rig.emulator.settings('products')).toEqual({ title: { display_hint: { type: 'title' } }, price: {}, tags: {} })
  await rig.stop()
  await rig.start()
  await rig.db.query("INSERT INTO products VALUES (3, 'Desk', 1, '{}')")
  await soon(() => expect(rig.emulator.object('products', '3')).toBeDefined())
  expect(rig.emulator.settingsCalls()).toBe(1)
})

test('the slot follows: nothing that is settled is sent again by the next start', async () => {
  const calls = rig.emulator.stats.calls.add
  await rig.stop()
  const { rows } = await rig.db.query(
    'SELECT confirmed_flush_lsn::text, pg_current_wal_insert_lsn()::text AS written FROM pg_replication_slots WHERE slot_name = $1',
    [rig.db.name],
  )
  expect(rows[0]?.confirmed_flush_lsn).not.toBe('0/0')
  await rig.start()
  await rig.db.query("INSERT INTO products VALUES (4, 'Vase', 1, '{}')")
  await soon(() => expect(rig.emulator.object('products', '4')).toBeDefined())
  expect(rig.emulator.stats.calls.add).toBe(calls + 1)
})
