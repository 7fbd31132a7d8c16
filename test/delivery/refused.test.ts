import { describe, expect, test } from 'vitest'
import { SyncError } from '../../src/errors.js'
import { useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()
const words = 'title must not hold "\u0000", \\u0000 or 💥'

describe('one object that the API refuses', () => {
  test("among a thousand is parked alone, with the API's words; the others are accepted", async () => {
    const room = await rooms.open({ delivery: { maxBatchAgeMs: 200 } })
    room.emulator.faults.add({ when: { ids: ['p500'] }, do: { reject: 422, message: words } })
    for (let n = 0; n < 1_000; n += 1) room.send(`p${n}`, n)
    await room.done()
    const rows = await room.objects()
    expect(rows).toHaveLength(1_000)
    expect(rows.filter(({ state }) => state !== 'accepted')).toMatchObject([
      {
        object_id: 'p500',
        state: 'parked',
        request_id: null,
        attempts: 1,
        error: { code: 'API_REJECTED', status: 422 },
      },
    ])
    expect(room.emulator.objects('products').size).toBe(999)
    // Nine good batches, and two requests for each halving of the bad one: 100 → 50 → 25 → 13 → 7 → 4 → 2 → 1.
    expect(room.dispatcher.counts.requests).toBeLessThanOrEqual(10 + 2 * 7)
    expect(room.dispatcher.counts).toMatchObject({ accepted: 999, parked: 1, retries: 0 })
  })

  test.each([
    ['its words', 'title is too long'],
    ['an escape that Postgres does not take', words],
    ['half a character at the cut', `${'x'.repeat(480)}${'💥'.repeat(20)}`],
    ['half a character', 'title: \ud83d is cut'],
  ])('says in the ledger why, whatever the API says: %s', async (_, message) => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { ids: ['bad'] }, do: { reject: 422, message } })
    room.send('bad', 1)
    room.send('good', 1)
    await room.done()
    const [bad, good] = await room.objects()
    expect(good).toMatchObject({ object_id: 'good', state: 'accepted' })
    expect(bad).toMatchObject({ state: 'parked', error: { code: 'API_REJECTED', status: 422 } })
    expect(bad?.error?.message).toMatch(/^The API answered 422: ti|^The API answered 422: x{480}/)
  })

  test.each([400, 409, 413, 415, 422])('with %i is parked', async (status) => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { ids: ['bad'] }, do: { status } })
    room.send('bad', 1)
    room.send('good', 1)
    await room.done()
    expect(await room.objects()).toMatchObject([
      { object_id: 'bad', state: 'parked', error: { status } },
      { object_id: 'good', state: 'accepted' },
    ])
  })

  test('while others fail with 500 is parked, and these are not', async () => {
    const room = await rooms.open({ delivery: { maxBatchAgeMs: 100 } })
    room.emulator.faults.add({ when: { ids: ['p7'], probability: 0.5 }, do: { status: 500 } })
    room.emulator.faults.add({ when: { ids: ['p7'] }, do: { reject: 422, message: 'no' } })
    for (let n = 0; n < 20; n += 1) room.send(`p${n}`, n)
    await room.done()
    expect((await room.objects()).filter(({ state }) => state !== 'accepted')).toMatchObject([{ object_id: 'p7' }])
  })
})

test.each([
  404, 405,
])('an address that answers all with %i parks nothing: it is told, and waited for', async (status) => {
  const room = await rooms.open({ delivery: { retryBaseMs: 1, retryMaxMs: 5 } })
  const wrong = room.emulator.faults.add({ do: { reject: status, message: 'a title in it' } })
  for (let n = 0; n < 20; n += 1) room.send(`p${n}`, n)
  await soon(() => expect(wrong.hits).toBeGreaterThan(60))
  expect(room.dispatcher.counts.parked).toBe(0)
  expect(room.log).toContainEqual({
    level: 'warn',
    message: 'A request failed and is tried again',
    fields: expect.objectContaining({
      code: 'API_UNEXPECTED',
      status,
      hint: expect.stringContaining('SAFETYKIT_BASE_URL'),
    }),
  })
  expect(JSON.stringify(room.log)).not.toContain('a title in it')
  wrong.remove()
  await room.done()
  expect(room.emulator.objects('products').size).toBe(20)
})

test('an API that is not there is told with the reason, and what to check', async () => {
  const room = await rooms.open({ delivery: { retryBaseMs: 1, retryMaxMs: 5 } })
  const away = room.emulator.faults.add({ do: { reset: true } })
  room.send('p', 1)
  await soon(() => expect(room.log.length).toBeGreaterThan(0))
  expect(room.log[0]?.fields).toMatchObject({
    status: null,
    error: {
      message: expect.stringContaining('could not be reached ('),
      hint: expect.stringContaining(room.emulator.url),
    },
  })
  away.remove()
  await room.done()
})

test('several refused objects in one batch are parked, each of them alone', async () => {
  const room = await rooms.open({ delivery: { maxBatchAgeMs: 200 } })
  const bad = ['p3', 'p4', 'p98']
  room.emulator.faults.add({ when: { ids: bad }, do: { reject: 422, message: 'no' } })
  for (let n = 0; n < 100; n += 1) room.send(`p${n}`, n)
  await room.done()
  const refused = (await room.objects()).filter(({ state }) => state !== 'accepted')
  expect(refused.map(({ object_id }) => object_id)).toEqual(bad)
  expect(room.emulator.objects('products').size).toBe(97)
})

test('a request that is too large for the API is split until its parts fit', async () => {
  const room = await rooms.open({ delivery: { maxBatchAgeMs: 200 }, emulator: { maxBodyBytes: 2_000 } })
  for (let n = 0; n < 100; n += 1) room.send(`p${n}`, 'x'.repeat(100))
  await room.done()
  expect(room.emulator.objects('products').size).toBe(100)
  expect(room.dispatcher.counts.parked).toBe(0)
})

test('an object that is larger than a request is parked without one, the others pass', async () => {
  const room = await rooms.open({ delivery: { maxBatchBytes: 1_000 } })
  const frame = JSON.stringify({ data: [{ id: 'fits', value: '' }] }).length
  room.send('large', 'x'.repeat(2_000))
  room.send('fits', 'x'.repeat(1_000 - frame))
  room.send('over', 'x'.repeat(1_001 - frame))
  room.send('wide', '💥'.repeat(260))
  await room.done()
  const tooLarge = { state: 'parked', attempts: 1, error: { code: 'OBJECT_TOO_LARGE', status: null } }
  expect(await room.objects()).toMatchObject([
    { object_id: 'fits', state: 'accepted' },
    { object_id: 'large', ...tooLarge },
    { object_id: 'over', ...tooLarge },
    { object_id: 'wide', ...tooLarge },
  ])
  expect(room.emulator.stats.statuses).toEqual({ 200: 1 })
  // Once it is small enough it is sent.
  room.send('large', 'small')
  await room.done()
  expect(room.accepted('large')).toEqual(['small'])
})

test('an object that the mapping could not make is parked with the reason, and is accepted once it can', async () => {
  const room = await rooms.open()
  room.arrive('1', { kind: 'invalid', error: new SyncError('OBJECT_INVALID', 'The computed field "x" threw') })
  await room.done()
  expect(await room.objects()).toMatchObject([
    { state: 'parked', error: { code: 'OBJECT_INVALID', message: 'The computed field "x" threw', status: null } },
  ])
  expect(room.dispatcher.counts.requests).toBe(0)
  room.send('1', 'A')
  await room.done()
  expect(await room.objects()).toMatchObject([{ state: 'accepted', attempts: 0, error: null, retry_at: null }])
})

describe('an object whose requests always fail with 500', () => {
  test('is parked, alone, while others pass', async () => {
    const room = await rooms.open({ delivery: { maxBatchObjects: 5 } })
    room.emulator.faults.add({ when: { ids: ['bad'] }, do: { status: 500 } })
    for (let n = 0; n < 12; n += 1) room.send(`p${n}`, n)
    room.send('bad', 1)
    for (let n = 12; n < 30; n += 1) room.send(`p${n}`, n)
    await room.done()
    const rows = await room.objects()
    expect(rows.filter(({ state }) => state !== 'accepted')).toMatchObject([
      { object_id: 'bad', state: 'parked', error: { code: 'API_UNAVAILABLE', status: 500 } },
    ])
    expect(rows).toHaveLength(31)
  })

  test('is not parked while everything else fails too', async () => {
    const room = await rooms.open({ delivery: { retryBaseMs: 1, retryMaxMs: 2 } })
    // One request gets through as the API goes away, as it happens with many in flight.
    room.emulator.faults.add({ when: { ids: ['lucky'] }, do: { latencyMs: 500 } })
    const outage = room.emulator.faults.add({ when: { ids: ['a', 'b', 'c'] }, do: { status: 503 } })
    room.send('lucky', 1)
    await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(1))
    for (const id of ['a', 'b', 'c']) room.send(id, 1)
    await soon(() => expect(room.accepted('lucky')).toEqual([1]))
    const before = outage.hits
    await soon(() => expect(outage.hits).toBeGreaterThan(before + 60))
    expect(room.dispatcher.counts.parked).toBe(0)
    outage.remove()
    await room.done()
    expect(room.dispatcher.counts.parked).toBe(0)
    expect(room.emulator.objects('products').size).toBe(4)
  })

  test('is not parked for 429, however often', async () => {
    const room = await rooms.open({ delivery: { retryBaseMs: 1, retryMaxMs: 2 } })
    room.emulator.faults.add({ when: { ids: ['bad'], times: 40 }, do: { status: 429 } })
    room.send('bad', 1)
    for (let n = 0; n < 20; n += 1) {
      room.send(`p${n}`, 1)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await room.done()
    expect(room.dispatcher.counts.parked).toBe(0)
    expect(room.accepted('bad')).toEqual([1])
  })

  test('has another chance with a newer content', async () => {
    const room = await rooms.open({ delivery: { retryBaseMs: 1, retryMaxMs: 5 } })
    const fault = room.emulator.faults.add({ when: { ids: ['bad'] }, do: { status: 500, latencyMs: 10 } })
    room.send('bad', 0)
    const passing = setInterval(() => room.send(`p${fault.hits}`, performance.now()), 5)
    let value = 0
    const changing = setInterval(() => room.send('bad', ++value), 1)
    await soon(() => expect(fault.hits).toBeGreaterThan(20))
    clearInterval(changing)
    fault.remove()
    await room.done().finally(() => clearInterval(passing))
    expect(room.accepted('bad').at(-1)).toBe(value)
  })
})

test('a namespace that fails does not hold up another', async () => {
  const room = await rooms.open({ delivery: { maxConcurrency: 2, maxBatchObjects: 10, requestTimeoutMs: 700 } })
  const outage = room.emulator.faults.add({ when: { namespace: 'messages' }, do: { hang: true } })
  for (let n = 0; n < 100; n += 1) room.send(`m${n}`, n, { namespace: 'messages' })
  await soon(() => expect(outage.hits).toBeGreaterThan(2))
  for (let n = 0; n < 100; n += 1) room.send(`p${n}`, n)
  await soon(() => expect(room.emulator.objects('products').size).toBe(100))
  expect(room.emulator.objects('messages').size).toBe(0)
  outage.remove()
  await room.done()
  expect(room.emulator.objects('messages').size).toBe(100)
})
