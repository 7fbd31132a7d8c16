import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'

const sql = 'CREATE TABLE products (id integer PRIMARY KEY, title text, price integer)'
const mapped = (fields: Record<string, unknown>) => ({ 'public.products': { namespace: 'products', fields } })
const tables = mapped({ title: { display_hint: { type: 'title' } }, price: true })
const settings = { delivery: { retryBaseMs: 20, retryMaxMs: 100 } }

test('the settings of a namespace are pushed at start when they changed, before any of its data, and not otherwise', async () => {
  const rig = await rigForTest({ sql, tables, start: false })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  const slow = rig.emulator.faults.add({ when: { path: 'settings' }, do: { latencyMs: 300 } })
  await rig.start()
  await soon(() => expect(slow.hits).toBe(1))
  expect(rig.emulator.stats.calls.add).toBe(0)
  await rig.caughtUp()
  expect(rig.emulator.settings('products')).toEqual({ title: { display_hint: { type: 'title' } }, price: {} })
  for (const same of [tables, mapped({ price: true, title: { display_hint: { type: 'title' } } })]) {
    await rig.stop()
    await rig.start({ tables: same })
    await rig.db.query('UPDATE products SET price = price + 1')
    await rig.caughtUp()
    expect(rig.emulator.settingsCalls()).toBe(1)
  }
  await rig.stop()
  const changed = mapped({ title: { display_hint: { type: 'subtitle' }, field_limit: 100 }, price: true })
  await rig.start({ tables: changed })
  await soon(() => expect(rig.emulator.settingsCalls()).toBe(2))
  expect(rig.emulator.settings('products')).toMatchObject({
    title: { display_hint: { type: 'subtitle' }, field_limit: 100 },
  })
  const [row] = await rig.side('settings')
  expect(row).toMatchObject({ namespace: 'products', fingerprint: expect.any(String) })
})

test('a standby pushes the settings of its own mapping when it takes over, and not before', async () => {
  const rig = await rigForTest({ sql, tables, start: false })
  const first = await rig.start()
  await rig.caughtUp()
  const changed = mapped({ title: { display_hint: { type: 'subtitle' } }, price: true })
  const second = await rig.start({ tables: changed })
  await soon(() => expect(second.state.phase).toBe('standby'))
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await rig.caughtUp()
  expect(rig.emulator.settings('products')).toMatchObject({ title: { display_hint: { type: 'title' } } })
  expect(second.measures().unpushed).toEqual([])

  await first.stop()
  await rig.db.query('UPDATE products SET price = 2')
  await soon(() => expect(rig.sent('products')).toMatchObject({ 1: { price: 2 } }))
  expect(rig.emulator.settings('products')).toMatchObject({ title: { display_hint: { type: 'subtitle' } } })
  expect(rig.emulator.settingsCalls()).toBe(2)
})

test('settings that the API refuses stop the start with its words, and no data is sent', async () => {
  const rig = await rigForTest({ sql, tables, start: false })
  const fault = rig.emulator.faults.add({
    when: { path: 'settings' },
    do: { reject: 400, message: 'title: no such hint' },
  })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  const pipeline = await rig.start()
  await expect(pipeline.done).rejects.toMatchObject({
    code: 'API_REJECTED',
    message: expect.stringMatching(/products.*title: no such hint/),
    hint: expect.stringContaining('mapping'),
  })
  expect(rig.emulator.stats.calls.add).toBe(0)
  fault.remove()
  await rig.stop()
  await rig.start()
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'a', price: 1 } })
})

test('an API that is away at start is waited for', async () => {
  const rig = await rigForTest({ sql, tables, settings, start: false })
  const fault = rig.emulator.faults.add({ when: { path: 'settings' }, do: { reset: true } })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 1)")
  await rig.start()
  await soon(() => expect(fault.hits).toBeGreaterThan(2))
  expect(rig.logged('warn')).toMatchObject(
    Array(rig.logged('warn').length).fill({ fields: { code: 'API_UNAVAILABLE' } }),
  )
  fault.remove()
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'a', price: 1 } })
})

test.each([
  ['answers that it should come back in an hour', { status: 503, retryAfter: '3600' }],
  ['does not answer', { hang: true }],
] as const)('a start that waits for an API that %s can be stopped', async (_, fault) => {
  const rig = await rigForTest({ sql, tables, settings, start: false })
  const added = rig.emulator.faults.add({ when: { path: 'settings' }, do: fault })
  const pipeline = await rig.start()
  await soon(() => expect(added.hits).toBe(1))
  const stopped = pipeline.stop().then(() => 'stopped')
  expect(await Promise.race([stopped, sleep(10_000)])).toBe('stopped')
  await pipeline.done
})
