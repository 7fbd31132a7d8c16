import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Fault } from '../../src/emulator/index.js'
import { createRig, type Rig } from '../support/pipeline.js'

const options = {
  sql: 'CREATE TABLE products (id bigint PRIMARY KEY, title text, version integer NOT NULL DEFAULT 0)',
  tables: { 'public.products': { namespace: 'products', fields: { title: true, version: true } } },
  settings: { delivery: { requestTimeoutMs: 1_000, retryBaseMs: 50, retryMaxMs: 1_000 } },
}

const outages: readonly [string, Fault['do']][] = [
  ['answers 429', { status: 429 }],
  ['answers 429 with Retry-After', { status: 429, retryAfter: '1' }],
  ['answers 500', { status: 500 }],
  ['resets connections', { reset: true }],
  ['resets connections after it accepted', { resetAfterAccept: true }],
  ['times out', { hang: true }],
  ['times out after it accepted', { hangAfterAccept: true }],
]

describe('the API away for ten seconds, under load', () => {
  test.concurrent.each(
    outages,
  )('it %s: all is delivered in the end, in order, and nothing is parked', async (_, fault) => {
    const rig = await createRig(options)
    try {
      await rig.start()
      await survives(rig, fault)
    } finally {
      await rig.close()
    }
  })
})

async function survives(rig: Rig, fault: Fault['do']): Promise<void> {
  await rig.db.query("INSERT INTO products SELECT n, 'Chair' FROM generate_series(1, 500) n")
  const outage = rig.emulator.faults.add({ do: fault })
  const end = Date.now() + 10_000
  while (Date.now() < end) {
    await rig.db.query('UPDATE products SET version = version + 1 WHERE id % 10 = $1', [Math.floor(Math.random() * 10)])
    await sleep(50)
  }
  outage.remove()
  await rig.db.query('UPDATE products SET version = version + 1')
  await rig.caughtUp()
  const { rows } = await rig.db.query<{ id: string; title: string; version: number }>(
    'SELECT id::text, title, version FROM products',
  )
  expect(rig.sent('products')).toEqual(Object.fromEntries(rows.map((row) => [row.id, row])))
  const states = await rig.db.query('SELECT state, count(*)::integer FROM safetykit.objects GROUP BY 1')
  expect(states.rows).toEqual([{ state: 'accepted', count: 500 }])
  for (const { id } of rows) {
    const versions = rig.emulator.history('products', id).map(({ data }) => Number(data.version))
    expect(versions, `the versions of ${id}`).toEqual([...versions].sort((a, b) => a - b))
  }
  expect(rig.emulator.violations).toEqual([])
}
