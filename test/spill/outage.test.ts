import { describe, expect, test } from 'vitest'
import type { FaultAction } from '../../src/emulator/index.js'
import { soon } from '../support/soon.js'
import { away, inStep, items, since, spillRig, spills } from './rig.js'

const outages: Record<string, FaultAction> = {
  'answers 503': { status: 503 },
  'resets connections': { reset: true },
  'never answers': { hang: true },
}

describe('while the API', () => {
  for (const [name, how] of Object.entries(outages)) {
    test(`${name}, the slot goes on; when it is back, each object comes once, in its newest state`, async () => {
      const rig = await spillRig()
      const back = away(rig, how)
      await rig.db.query(`UPDATE items SET price = 1 WHERE id <= 600`)
      await spills(rig)
      expect(rig.pipeline.state.trouble).toContain('items')
      await rig.caughtUp()

      for (let price = 2; price <= 6; price += 1) {
        await rig.db.query(`UPDATE items SET price = $1 WHERE id BETWEEN 301 AND 900`, [price])
        await rig.caughtUp()
      }
      await rig.db.query(`DELETE FROM items WHERE id BETWEEN 801 AND 850`)
      await rig.db.query(`UPDATE items SET id = id + 5000 WHERE id BETWEEN 851 AND 900`)
      await rig.db.query(`INSERT INTO items VALUES (2000, 'new', 1)`)
      await rig.caughtUp()
      expect(rig.versions('items', '1')).toBe(1)

      back()
      await inStep(rig)
      for (const id of [1, 300, 301, 600, 700, 800]) {
        expect({ id, sent: since(rig, id, 1) }).toMatchObject({ id, sent: [{ price: id <= 300 ? 1 : 6 }] })
      }
      expect(rig.versions('items', '950')).toBe(1)
      expect(since(rig, 820, 1)).toEqual([{ id: '820', deleted: true }])
      expect(since(rig, 870, 1)).toEqual([{ id: '870', deleted: true }])
      expect(since(rig, 5870, 0)).toMatchObject([{ title: 'first 870', price: 6 }])
      expect(since(rig, 2000, 0)).toHaveLength(1)

      await soon(() => expect(rig.pipeline.state).toMatchObject({ phase: 'streaming', trouble: null }))
      expect(rig.pipeline.state.counts.spilledKeys).toBeGreaterThan(1_000)
      expect(rig.logged('warn', 'info').filter(({ message }) => /SafetyKit takes/.test(message))).toHaveLength(2)
      // Delivered as ever, without a way round by `dirty`.
      const keys = rig.pipeline.state.counts.spilledKeys
      await rig.db.query(`UPDATE items SET price = 100`)
      await inStep(rig)
      expect(rig.pipeline.state.counts.spilledKeys).toBe(keys)
      expect(rig.emulator.violations).toEqual([])
    })
  }
})

test('a namespace that is refused spills alone; another one is delivered as ever', async () => {
  const rig = await spillRig({
    sql: `${items}; CREATE TABLE shops (LIKE items INCLUDING ALL)`,
    tables: {
      'public.items': { namespace: 'items', fields: { title: true, price: true } },
      'public.shops': { namespace: 'shops', fields: { title: true, price: true } },
    },
  })
  const back = away(rig, { status: 503 }, 'items')
  await rig.db.query(`UPDATE items SET price = 1`)
  await spills(rig)
  await rig.db.query(`INSERT INTO items SELECT n, repeat('long ', 2000), 1 FROM generate_series(2000, 5999) AS n`)
  await rig.db.query(`INSERT INTO shops SELECT n, 'shop', 1 FROM generate_series(1, 500) AS n`)
  await rig.caughtUp()
  expect(Object.keys(rig.sent('shops'))).toHaveLength(500)
  // Also what is in `dirty` of it gets through, however much waits there before it.
  await soon(async () => expect((await rig.side('dirty')).length).toBeGreaterThan(4_000))
  await rig.db.query(`UPDATE safetykit.objects SET fingerprint = 'another' WHERE namespace = 'shops'`)
  await rig.db.query(`INSERT INTO safetykit.dirty (source, key) VALUES ('public.shops', '{"id": 7}')`)
  await soon(() => expect(rig.versions('shops', '7')).toBe(2))
  expect(rig.pipeline.state.phase).toBe('spilling')
  back()
  await inStep(rig)
})

test('what the API took without an answer is sent again after the outage, also where the row has its old content again', async () => {
  const rig = await spillRig()
  const back = away(rig, { hangAfterAccept: true })
  await rig.db.query(`UPDATE items SET title = 'B' WHERE id = 1; INSERT INTO items VALUES (2000, 'short-lived', 0)`)
  await soon(() => expect(rig.versions('items', '2000')).toBeGreaterThan(0))
  await spills(rig)
  await rig.db.query(`UPDATE items SET title = 'first 1' WHERE id = 1; DELETE FROM items WHERE id = 2000`)
  await rig.caughtUp()
  await rig.abandon()
  back()
  await rig.start()
  await inStep(rig)
  expect(rig.sent('items')['2000']).toEqual({ id: '2000', deleted: true })
})

test('a transaction larger than memory passes while the API is away', async () => {
  const rig = await spillRig({ settings: { maxPendingBytes: 1024 * 1024 } })
  const back = away(rig, { status: 503 })
  await rig.db.query(`INSERT INTO items SELECT n, repeat('x', 300), 1 FROM generate_series(2000, 16999) AS n`)
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, rig.pipeline.measures().pendingBytes)
  }, 5)
  await rig.caughtUp()
  clearInterval(watch)
  expect(most).toBeLessThan(8 * 1024 * 1024)
  expect(rig.pipeline.state.phase).toBe('spilling')
  back()
  await inStep(rig)
  for (const id of [2000, 10_000, 16_999]) expect(since(rig, id, 0)).toHaveLength(1)
})

test('stop() in the middle of a spill keeps everything; the next start delivers it', async () => {
  const rig = await spillRig()
  const back = away(rig, { status: 503 })
  await rig.db.query(`UPDATE items SET price = 1`)
  await spills(rig)
  await rig.db.query(`UPDATE items SET price = 2 WHERE id > 500`)
  await rig.stop()
  back()
  await rig.start()
  await inStep(rig)
})
