import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { add, emulatorForTest } from '../support/emulator.js'

/** Longer than the emulator takes to be sure. */
const settleMs = 300

test('an object in two requests in flight at once is a violation, by id and without values', async () => {
  const emulator = await emulatorForTest()
  const hang = emulator.faults.add({ when: { times: 1 }, do: { hang: true } })
  const abort = new AbortController()
  const slow = add(emulator, 'products', [{ id: '1', secret: 'x' }, { id: '2' }], { signal: abort.signal })
  await expect.poll(() => hang.hits, { timeout: 30_000 }).toBe(1)
  await add(emulator, 'products', [{ id: '2', secret: 'y' }, { id: '3' }])
  await sleep(settleMs)
  abort.abort()
  await expect(slow).rejects.toThrow()
  expect(emulator.violations).toEqual(['products/2 was in two requests in flight at once'])
})

test('it is seen too when the first request is answered before the body of the second is there', async () => {
  const emulator = await emulatorForTest()
  let finish = (): void => {}
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"data":'))
      finish = () => {
        controller.enqueue(new TextEncoder().encode('{"id":"1"}}'))
        controller.close()
      }
    },
  })
  const headers = { authorization: `Bearer ${emulator.apiKey}`, 'content-type': 'application/json' }
  const slow = fetch(`${emulator.url}/v1/data/products`, {
    method: 'POST',
    headers,
    body,
    duplex: 'half',
  } as RequestInit)
  await expect.poll(() => emulator.stats.calls.add, { timeout: 30_000 }).toBe(1)
  await add(emulator, 'products', { id: '1' })
  finish()
  expect((await slow).status).toBe(200)
  expect(emulator.violations).toEqual(['products/1 was in two requests in flight at once'])
})

test('the same id one after the other, or in two namespaces at once, is none', async () => {
  const emulator = await emulatorForTest({ faults: [{ when: { namespace: 'sellers' }, do: { latencyMs: 200 } }] })
  const elsewhere = add(emulator, 'sellers', { id: '1' })
  for (let n = 0; n < 200; n += 1) await add(emulator, 'products', { id: '1', n })
  await elsewhere
  await sleep(settleMs)
  expect(emulator.violations).toEqual([])
})

test('a client that gave up and tries again on another connection breaks no rule', async () => {
  const emulator = await emulatorForTest()
  const hang = emulator.faults.add({ do: { hangAfterAccept: true } })
  for (let n = 1; n <= 20; n += 1) {
    const abort = new AbortController()
    const waiting = add(emulator, 'products', { id: '1', n }, { signal: abort.signal }).catch(() => 'gave up')
    await expect.poll(() => hang.hits, { timeout: 30_000, interval: 2 }).toBe(n)
    abort.abort()
    expect(await waiting).toBe('gave up')
  }
  emulator.faults.clear()
  expect((await add(emulator, 'products', { id: '1' })).status).toBe(200)
  await sleep(settleMs)
  expect(emulator.violations).toEqual([])
})
