import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type Rig, rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'
import { expectComplete } from './complete.js'

const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text);
  CREATE TABLE sellers (id integer PRIMARY KEY, name text); CREATE TABLE noise (line text)`
const tables = {
  'public.products': { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' },
  'public.sellers': { namespace: 'sellers', fields: { name: true } },
}
const settings = { delivery: { retryBaseMs: 20, retryMaxMs: 100 } }
const rigOf = () => rigForTest({ sql, tables, settings })

async function lsn(rig: Rig, expression: string): Promise<bigint> {
  const { rows } = await rig.db.query<{ bytes: string }>(`SELECT (${expression}) - '0/0'::pg_lsn AS bytes`)
  return BigInt(rows[0]?.bytes ?? 0)
}
/** Of the horizons, those that tell what may have been sent; one more tells how far the slot was confirmed. */
const doubts = "through > 0 AND name NOT LIKE '% confirmed'"
const confirmed = (rig: Rig) =>
  lsn(rig, `SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '${rig.db.name}'`)
const written = (rig: Rig) => lsn(rig, 'pg_current_wal_flush_lsn()')
const titles = (rig: Rig, id: string) =>
  rig.emulator.history('products', id).map(({ data }) => (data.deleted === true ? 'deleted' : data.title))
/** Requests of this namespace do not get through. */
const hold = (rig: Rig, namespace: string) =>
  rig.emulator.faults.add({ when: { namespace, path: 'add' }, do: { status: 503 } })

test('of adjacent commits with only the first settled, a restart brings the second again, and only it', async () => {
  const rig = await rigOf()
  const fault = hold(rig, 'sellers')
  await rig.db.query("INSERT INTO products VALUES (1, 'first')")
  await rig.db.query("INSERT INTO sellers VALUES (1, 'second')")
  await soon(() => expect(fault.hits).toBeGreaterThan(0))
  await soon(async () => expect(await rig.side('objects')).toHaveLength(1))
  const before = await written(rig)
  await rig.stop()
  expect(await confirmed(rig)).toBeLessThan(before)
  expect(rig.sent('sellers')).toEqual({})

  fault.remove()
  await rig.start()
  await rig.caughtUp()
  expect(rig.sent('sellers')).toEqual({ 1: { id: '1', name: 'second' } })
  expect(titles(rig, '1')).toEqual(['first'])
  await expectComplete(rig)
})

test('the slot never passes a change that is not settled, however many settle behind it', async () => {
  const rig = await rigOf()
  await rig.caughtUp()
  const fault = hold(rig, 'sellers')
  const before = await confirmed(rig)
  await rig.db.query("INSERT INTO sellers VALUES (1, 'held')")
  for (let i = 0; i < 20; i += 1) await rig.db.query('INSERT INTO products VALUES ($1, $2)', [i, 'after'])
  await soon(() => expect(rig.emulator.objects('products').size).toBe(20))
  const behind = await written(rig)
  for (let look = 0; look < 20; look += 1) {
    expect(await confirmed(rig)).toBeLessThan(behind)
    await sleep(50)
  }
  expect(await confirmed(rig)).toBeGreaterThanOrEqual(before)
  fault.remove()
  await rig.caughtUp()
  expect(rig.sent('sellers')).toEqual({ 1: { id: '1', name: 'held' } })
  await expectComplete(rig)
})

test('a slot without changes follows what other tables write', async () => {
  const rig = await rigOf()
  await rig.db.query("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
  const after = await written(rig)
  await soon(async () => expect(await confirmed(rig)).toBeGreaterThanOrEqual(after))
  expect(rig.emulator.stats.calls.add).toBe(0)
})

test('an orderly stop leaves no doubt behind, an abandoned one does', async () => {
  const rig = await rigOf()
  const inDoubt = async () => (await rig.side('horizons', doubts)).length > 0
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  expect(await inDoubt()).toBe(true)
  await rig.stop()
  expect(await inDoubt()).toBe(false)

  await rig.start()
  rig.emulator.faults.add({ when: { path: 'add' }, do: { hangAfterAccept: true } })
  await rig.db.query("UPDATE products SET title = 'b'")
  await soon(() => expect(titles(rig, '1')).toEqual(['a', 'b']))
  await rig.abandon()
  expect(await inDoubt()).toBe(true)
})

/** What `statement` sends is accepted and not recorded when the process ends. */
const crashes: readonly (readonly [string, (rig: Rig, statement: string) => Promise<void>])[] = [
  [
    'the answer never came',
    async (rig, statement) => {
      const fault = rig.emulator.faults.add({ when: { path: 'add' }, do: { hangAfterAccept: true } })
      const { acceptedObjects } = rig.emulator.stats
      await rig.db.query(statement)
      await soon(() => expect(rig.emulator.stats.acceptedObjects).toBe(acceptedObjects + 1))
      await rig.abandon()
      fault.remove()
    },
  ],
  [
    'the ledger could not be written',
    async (rig, statement) => {
      await rig.db.query('ALTER TABLE safetykit.submissions RENAME TO away')
      await rig.db.query(statement)
      await soon(() => expect(rig.logged('error')).not.toEqual([]))
      await rig.abandon()
      await rig.db.query('ALTER TABLE safetykit.away RENAME TO submissions')
    },
  ],
]
/** More than the mark that a process leaves behind runs ahead of what it sends. */
const muchElse = "INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 20000)"

test.each(crashes)('A, B, A across a crash ends with A: %s', async (_, crash) => {
  const rig = await rigOf()
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  await crash(rig, "UPDATE products SET title = 'b'")
  expect(titles(rig, '1')).toEqual(['a', 'b'])
  await rig.db.query("UPDATE products SET title = 'a'")
  await rig.start()
  await rig.caughtUp()
  expect(titles(rig, '1').at(-1)).toBe('a')
  await rig.stop()
  await rig.start()
  await rig.db.query("INSERT INTO products VALUES (2, 'z')")
  await rig.caughtUp()
  expect(titles(rig, '1').at(-1)).toBe('a')
})

test.each(crashes)('A, B, a long time, A across a crash ends with A: %s', async (_, crash) => {
  const rig = await rigOf()
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  await crash(rig, "UPDATE products SET title = 'b'")
  await rig.db.query(muchElse)
  await rig.db.query("UPDATE products SET title = 'a'")
  // B still waits for its batch when A arrives, so that it is A alone that is held against the ledger.
  await rig.start({ settings: { delivery: { maxBatchAgeMs: 2_000 } } })
  await rig.caughtUp()
  expect(titles(rig, '1')).toEqual(['a', 'b', 'a'])
})

test.each(crashes)('what a crash left in doubt and is deleted since gets its tombstone: %s', async (_, crash) => {
  const rig = await rigOf()
  await crash(rig, "INSERT INTO products VALUES (1, 'a')")
  expect(titles(rig, '1')).toEqual(['a'])
  await rig.db.query('DELETE FROM products')
  await rig.start()
  await rig.caughtUp()
  expect(titles(rig, '1').at(-1)).toBe('deleted')
})

test.each(crashes)('a row of a long transaction that a crash left in doubt is sent again: %s', async (_, crash) => {
  const rig = await rigOf()
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  // The change is far from the commit.
  await crash(rig, `BEGIN; UPDATE products SET title = 'b'; ${muchElse}; COMMIT`)
  await rig.db.query("UPDATE products SET title = 'a'")
  await rig.start()
  await rig.caughtUp()
  expect(titles(rig, '1')).toEqual(['a', 'b', 'a'])
})

test.each(
  crashes,
)('A, B, hidden by where, A across a crash ends with A, after another restart too: %s', async (_, crash) => {
  const where = (row: { title?: unknown }) => row.title !== 'draft'
  const rig = await rigForTest({
    sql,
    tables: { 'public.products': { namespace: 'products', fields: { title: true }, where } },
    settings,
  })
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  await crash(rig, "UPDATE products SET title = 'b'")
  await rig.db.query("UPDATE products SET title = 'draft'")
  await rig.start()
  await rig.caughtUp()
  await rig.stop()
  await rig.start()
  await rig.db.query("UPDATE products SET title = 'a'")
  await rig.caughtUp()
  expect(titles(rig, '1').at(-1)).toBe('a')
})

test.each(crashes)('a doubt outlives a process that came and went without settling it: %s', async (_, crash) => {
  const rig = await rigOf()
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  await crash(rig, "UPDATE products SET title = 'b'")
  const fault = hold(rig, 'products')
  await rig.start()
  await soon(() => expect(fault.hits).toBeGreaterThan(0))
  await rig.stop()
  fault.remove()
  await rig.db.query("UPDATE products SET title = 'a'")
  await rig.start({ settings: { delivery: { maxBatchAgeMs: 500 } } })
  await rig.caughtUp()
  expect(titles(rig, '1').at(-1)).toBe('a')
})

test('a standby does nothing until it takes over, and takes over what was in doubt', async () => {
  const rig = await rigOf()
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  const first = rig.pipeline
  const standby = await rig.start()
  await rig.db.query(`INSERT INTO safetykit.dirty (source, key, force) VALUES ('public.products', '{"id": "1"}', true)`)
  await soon(() => expect(titles(rig, '1')).toEqual(['a', 'a']))
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  expect([first.counts.sentObjects, standby.counts.sentObjects]).toEqual([2, 0])
  // One that comes and goes leaves the other's mark alone.
  await rig.stop()
  expect(await rig.side('horizons', doubts)).not.toEqual([])

  await rig.start()
  rig.emulator.faults.add({ when: { path: 'add', times: 1 }, do: { hangAfterAccept: true } })
  await rig.db.query("UPDATE products SET title = 'b'")
  await soon(() => expect(titles(rig, '1')).toEqual(['a', 'a', 'b']))
  await rig.db.query("UPDATE products SET title = 'a'")
  first.abandon()
  await first.stop()
  await rig.caughtUp()
  expect(titles(rig, '1').at(-1)).toBe('a')
  await rig.stop()
  expect(await rig.side('horizons', doubts)).toEqual([])
})
