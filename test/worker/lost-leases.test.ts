import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { soon } from '../support/soon.js'
import { workersForTest } from '../support/workers.js'

test('a worker that has lost its leases sends nothing of what waited for them', async () => {
  const workers = await workersForTest({
    sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)',
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
    settings: { delivery: { requestTimeoutMs: 8_000, retryBaseMs: 1 } },
  })
  workers.emulator.faults.add({ when: { path: 'add' }, do: { hang: true } })
  const worker = await workers.start()
  await workers.db.query(`INSERT INTO products VALUES (1, 'Chair')`)
  worker.wake()
  await soon(() => expect(workers.emulator.stats.calls.add).toBe(1))

  // It cannot renew its leases, and has lost them by the time at which its request is tried again.
  const leases = await workers.db.client()
  await leases.query('BEGIN; LOCK TABLE safetykit.leases')
  await soon(() => expect(workers.log.some(({ message }) => message.includes('is tried again'))).toBe(true))
  workers.emulator.faults.clear()
  await sleep(1_000)
  await leases.query(`UPDATE safetykit.leases SET holder = 'another', expires_at = now() + interval '1 hour'
    WHERE name LIKE 'dirty %' AND holder IS NOT NULL`)

  await leases.query('COMMIT')
  await soon(() => expect(workers.log.some(({ message }) => message.includes('has taken over'))).toBe(true))
  await sleep(1_000)
  expect(workers.emulator.stats.calls.add).toBe(1)

  await workers.db.query(`UPDATE safetykit.leases SET holder = NULL WHERE holder = 'another'`)
  await workers.settled()
  expect(workers.sent('products')).toEqual({ 1: { id: '1', title: 'Chair' } })
})
