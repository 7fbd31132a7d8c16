import { describe, expect, test } from 'vitest'
import type { FaultAction } from '../../src/emulator/index.js'
import { type Room, useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()

/** The API answered with nothing but these; every object is there in its last state, none was set back. */
function expectAllIn(room: Room, last: ReadonlyMap<string, number>): void {
  for (const [id, value] of last) {
    const values = room.accepted(id) as number[]
    expect(values.at(-1)).toBe(value)
    expect(values).toEqual([...values].sort((a, b) => a - b))
  }
}

describe('nothing is lost, and the order is kept, while the API answers with', () => {
  test.each<[string, FaultAction]>([
    ['429', { status: 429 }],
    ['429 and Retry-After in seconds', { status: 429, retryAfter: '0.2' }],
    ['429 and Retry-After as a date', { status: 429, retryAfter: new Date(Date.now() + 1_000).toUTCString() }],
    ['429 and a Retry-After that nobody can read', { status: 429, retryAfter: 'later' }],
    ['408', { status: 408 }],
    ['500', { status: 500 }],
    ['503', { status: 503 }],
    ['503 and Retry-After', { status: 503, retryAfter: '0.2' }],
    ['a reset', { reset: true }],
    ['a reset after it accepted', { resetAfterAccept: true }],
    ['nothing, until the time is up', { hang: true }],
    ['nothing, until the time is up, after it accepted', { hangAfterAccept: true }],
    ['a page of HTML', { garbage: true }],
    ['JSON that is not its contract', { garbage: '{"requestId":7,"status":"accepted"}' }],
    ['an empty body', { garbage: '' }],
    ['a redirect', { status: 302 }],
    ['204', { status: 204 }],
  ])('%s', async (_, fault) => {
    const room = await rooms.open({ delivery: { maxBatchObjects: 10, requestTimeoutMs: 700 } })
    const times = 6
    const handle = room.emulator.faults.add({ when: { times }, do: { ...fault, latencyMs: 50 } })
    const last = new Map<string, number>()
    for (let value = 0; value < 60; value += 1) {
      const id = `p${value % 30}`
      room.send(id, value)
      last.set(id, value)
      if (value === 30) await soon(() => expect(room.dispatcher.concurrency.inFlight).toBeGreaterThan(0))
    }
    await room.done()
    expect(handle.hits).toBe(times)
    expectAllIn(room, last)
    expect(room.dispatcher.counts).toMatchObject({ parked: 0, retries: times })
    expect(await room.objects()).toHaveLength(30)
  })
})

describe('Retry-After', () => {
  test.each([
    ['in seconds', (ms: number) => String(ms / 1_000), 1_500],
    ['as a date', (ms: number) => new Date(Date.now() + ms + 1_000).toUTCString(), 1_500],
  ])('%s is waited for', async (_, header, ms) => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { times: 1 }, do: { status: 429, retryAfter: header(ms) } })
    const startedMs = performance.now()
    room.send('1', 'A')
    await room.done()
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(ms)
    expect(room.dispatcher.counts).toMatchObject({ requests: 2, throttled: 1 })
  })

  test('is waited for by everything of its namespace, also where other requests got through meanwhile', async () => {
    const room = await rooms.open({ delivery: { maxBatchObjects: 1 } })
    room.emulator.faults.add({ when: { ids: ['slow'] }, do: { latencyMs: 400 } })
    room.emulator.faults.add({ when: { ids: ['asked'], times: 1 }, do: { status: 429, retryAfter: '2' } })
    const startedMs = performance.now()
    room.send('slow', 'A')
    room.send('asked', 'A')
    await soon(() => expect(room.handed[0]?.settled).toBe(1))
    room.send('late', 'A')
    await soon(() => expect(room.accepted('late')).toEqual(['A']))
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(2_000)
  })

  test('of a century is waited for without a busy loop', async () => {
    const warnings: string[] = []
    const listen = (warning: Error): void => void warnings.push(warning.name)
    process.on('warning', listen)
    const room = await rooms.open()
    room.emulator.faults.add({ do: { status: 429, retryAfter: '3153600000' } })
    room.send('1', 'A')
    await soon(() => expect(room.dispatcher.counts.throttled).toBe(1))
    await new Promise((resolve) => setTimeout(resolve, 100))
    process.off('warning', listen)
    expect(warnings).toEqual([])
    expect(room.dispatcher.counts.requests).toBe(1)
    await room.stop()
  })
})

test('the number of requests at once falls on 429 and recovers', async () => {
  const room = await rooms.open({ delivery: { maxBatchObjects: 1, maxConcurrency: 8 } })
  room.emulator.faults.add({ do: { latencyMs: 10 } })
  room.emulator.faults.add({ when: { times: 8 }, do: { status: 429 } })
  for (let n = 0; n < 300; n += 1) room.send(`p${n}`, n)
  await soon(() => expect(room.dispatcher.concurrency.limit).toBeLessThan(8))
  await room.done()
  expect(room.dispatcher.counts.throttled).toBe(8)
  expect(room.dispatcher.concurrency.limit).toBe(8)
})

test('an API that is down is asked with one request at a time, and gets everything once it is back', async () => {
  const room = await rooms.open({ delivery: { maxBatchObjects: 10 } })
  const outage = room.emulator.faults.add({ do: { status: 503, latencyMs: 5 } })
  for (let n = 0; n < 300; n += 1) room.send(`p${n}`, n)
  await soon(() => expect(outage.hits).toBeGreaterThan(30))
  expect(room.dispatcher.concurrency.inFlight).toBeLessThanOrEqual(1)
  expect(room.handed.filter(({ settled }) => settled > 0)).toEqual([])
  outage.remove()
  await room.done()
  expect(room.emulator.objects('products').size).toBe(300)
  expect(room.dispatcher.counts.parked).toBe(0)
})

describe.each([401, 403])('%i: the key is wrong', (status) => {
  test('it is told once, nothing is settled and nothing more is sent', async () => {
    const room = await rooms.open({ delivery: { maxBatchObjects: 1, maxConcurrency: 4 } })
    room.emulator.faults.add({ do: { status, latencyMs: 100 } })
    for (let n = 0; n < 20; n += 1) room.send(`p${n}`, n)
    await soon(() => expect(room.unauthorized).toHaveLength(1))
    await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(0))
    room.send('more', 1)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(room.unauthorized).toHaveLength(1)
    expect(room.unauthorized[0]).toMatchObject({
      code: 'API_UNAUTHORIZED',
      hint: expect.stringContaining('SAFETYKIT_API_KEY'),
    })
    expect(room.emulator.stats.calls.add).toBe(4)
    expect(await room.stop()).toEqual({ inDoubt: false })
    expect(room.handed.filter(({ settled }) => settled > 0)).toEqual([])
    expect(await room.objects()).toEqual([])
  })
})

test("a key that is not the API's is told by the API itself", async () => {
  const room = await rooms.open({ client: { apiKey: 'sk_wrong' } })
  room.send('1', 'A')
  await soon(() => expect(room.unauthorized).toHaveLength(1))
  await room.stop()
})
