import { expect, test } from 'vitest'
import { rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'
import { inStep, items, quick, since, spills } from './rig.js'

const fields = { title: true, price: true }
const insert = (table: string) =>
  `INSERT INTO ${table} SELECT n, 'first ' || n, 0 FROM generate_series(1, 1000) AS n; UPDATE ${table} SET price = 1`

test('started while the API is away, with settings to push, it keeps the keys and lets the WAL go; nothing comes before the settings', async () => {
  const rig = await rigForTest({
    sql: items,
    tables: { 'public.items': { namespace: 'items', fields } },
    settings: quick,
    start: false,
  })
  const away = rig.emulator.faults.add({ do: { status: 503 } })
  await rig.db.query(insert('items'))
  await rig.start()
  await soon(() => expect(rig.pipeline.measures().unpushed).toEqual(['items']))
  await spills(rig)
  await rig.caughtUp()
  expect((await rig.side('dirty')).length).toBeGreaterThanOrEqual(1000)
  expect(rig.emulator.stats.calls.add).toBe(0)
  expect(rig.pipeline.measures().unpushed).toEqual(['items'])

  away.remove()
  await inStep(rig)
  for (const id of [1, 500, 1000])
    expect(since(rig, id, 0)).toEqual([{ id: String(id), title: `first ${id}`, price: 1 }])
  await soon(() => expect(rig.pipeline.state).toMatchObject({ phase: 'streaming', trouble: null }))
  expect(rig.pipeline.measures().unpushed).toEqual([])
})

test('a namespace whose settings cannot be pushed waits alone; another one is delivered as ever', async () => {
  const rig = await rigForTest({
    sql: `${items}; CREATE TABLE shops (LIKE items INCLUDING ALL)`,
    tables: { 'public.items': { namespace: 'items', fields }, 'public.shops': { namespace: 'shops', fields } },
    settings: quick,
    start: false,
  })
  const hung = rig.emulator.faults.add({ when: { path: 'settings', namespace: 'items' }, do: { hang: true } })
  await rig.db.query(insert('items'))
  await rig.db.query(insert('shops'))
  await rig.start()
  await rig.caughtUp()
  expect(Object.keys(rig.sent('shops'))).toHaveLength(1000)
  expect(rig.sent('items')).toEqual({})
  expect(rig.pipeline.measures().unpushed).toEqual(['items'])
  hung.remove()
  await inStep(rig)
})

test('stopped before its settings could be pushed, it has lost nothing', async () => {
  const rig = await rigForTest({
    sql: items,
    tables: { 'public.items': { namespace: 'items', fields } },
    settings: { ...quick, spill: { afterMs: 60_000 } },
    start: false,
  })
  const away = rig.emulator.faults.add({ do: { reset: true } })
  await rig.db.query(insert('items'))
  await rig.start()
  await soon(() => expect(rig.pipeline.measures().pendingBytes).toBeGreaterThan(0))
  await rig.stop()
  away.remove()
  await rig.start()
  await inStep(rig)
})
