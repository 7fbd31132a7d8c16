import { describe, expect, test } from 'vitest'
import { useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()
const counts = (room: Awaited<ReturnType<typeof rooms.open>>): number[] =>
  room.emulator.requests().map((request) => request.objectCount)

describe('a request holds', () => {
  test('at most a hundred objects: 250 at once are three requests', async () => {
    const room = await rooms.open({ delivery: { maxBatchAgeMs: 200 } })
    for (let n = 0; n < 250; n += 1) room.send(`p${n}`, n)
    await room.done()
    expect(counts(room).sort()).toEqual([100, 100, 50])
    expect(room.emulator.objects('products').size).toBe(250)
    expect(room.dispatcher.counts).toMatchObject({
      requests: 3,
      sentObjects: 250,
      accepted: 250,
      retries: 0,
      parked: 0,
    })
  })

  test('as many objects as the setting says, down to one', async () => {
    const room = await rooms.open({ delivery: { maxBatchObjects: 1 } })
    for (let n = 0; n < 5; n += 1) room.send(`p${n}`, n)
    await room.done()
    expect(counts(room)).toEqual([1, 1, 1, 1, 1])
  })

  test('at most the bytes of the setting, all of its body counted', async () => {
    const maxBatchBytes = 10_000
    // The API here refuses what is one byte more: nothing may be sent twice for it.
    const room = await rooms.open({
      delivery: { maxBatchBytes, maxBatchAgeMs: 200 },
      emulator: { maxBodyBytes: maxBatchBytes },
    })
    for (let n = 0; n < 300; n += 1) room.send(`p${n}`, 'x'.repeat(70 + (n % 100)))
    await room.done()
    expect(room.emulator.stats.statuses).toEqual({ 200: counts(room).length })
    expect(counts(room).length).toBeLessThan(10)
    expect(room.emulator.objects('products').size).toBe(300)
  })

  test('at most the bytes of the setting, where objects fill it to the last byte', async () => {
    const maxBatchBytes = 1_000
    const room = await rooms.open({
      delivery: { maxBatchBytes, maxBatchAgeMs: 200 },
      emulator: { maxBodyBytes: maxBatchBytes },
    })
    // Two of them, joined by a comma, have 981 to 1,001 bytes: with the frame of a request, some fit and some do not.
    for (let n = 0; n < 21; n += 1) {
      const bytes = 490 + Math.floor(n / 2)
      const frame = JSON.stringify({ id: `${n}-a`, value: '' }).length
      room.send(`${n}-a`, 'x'.repeat(bytes - frame))
      room.send(`${n}-b`, 'x'.repeat(bytes + (n % 2) - frame))
      await room.done()
    }
    expect(Object.keys(room.emulator.stats.statuses)).toEqual(['200'])
    expect(counts(room)).toContain(2)
    expect(counts(room)).toContain(1)
  })

  test('characters of several bytes at their size', async () => {
    const maxBatchBytes = 1_000
    const room = await rooms.open({
      delivery: { maxBatchBytes, maxBatchAgeMs: 200 },
      emulator: { maxBodyBytes: maxBatchBytes },
    })
    for (let n = 0; n < 20; n += 1) room.send(`p${n}`, '😀'.repeat(50))
    await room.done()
    expect(room.emulator.stats.statuses).toEqual({ 200: 5 })
  })
})

describe('an object', () => {
  test('that is alone is sent after its age, not before', async () => {
    const room = await rooms.open({ delivery: { maxBatchAgeMs: 300 } })
    const startedMs = performance.now()
    room.send('1', 'A')
    await room.done()
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(295)
    expect(room.accepted('1')).toEqual(['A'])
  })

  test('that keeps changing is sent all the same', async () => {
    const room = await rooms.open({ delivery: { maxBatchAgeMs: 100 } })
    let value = 0
    const changing = setInterval(() => room.send('1', ++value), 10)
    try {
      await soon(() => expect(room.accepted('1').length).toBeGreaterThan(3))
    } finally {
      clearInterval(changing)
    }
    await room.done()
    expect(room.accepted('1').at(-1)).toBe(value)
  })

  test('has only its newest state sent, of those that came while the API was slow; each change is settled', async () => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { times: 1 }, do: { latencyMs: 500 } })
    room.send('1', 0)
    await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(1))
    for (let value = 1; value <= 50; value += 1) {
      room.send('1', value)
      if (value % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(room.handed.filter(({ settled }) => settled > 0)).toEqual([])
    await room.done()
    expect(room.accepted('1')).toEqual([0, 50])
    expect(room.handed).toHaveLength(51)
  })

  test('is not held up by another that waits for an answer', async () => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { ids: ['slow'] }, do: { latencyMs: 2_000 } })
    room.send('slow', 'A')
    await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(1))
    room.send('quick', 'A')
    await soon(() => expect(room.handed[1]?.settled).toBe(1))
    expect(room.handed[0]?.settled).toBe(0)
  })
})

test('a namespace with a long backlog does not keep another one waiting', async () => {
  const room = await rooms.open({ delivery: { maxConcurrency: 1, maxBatchObjects: 10 } })
  room.emulator.faults.add({ do: { latencyMs: 20 } })
  for (let n = 0; n < 500; n += 1) room.send(`p${n}`, n)
  await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(1))
  room.send('m1', 'A', { namespace: 'messages' })
  await soon(() => expect(room.accepted('m1', 'messages')).toEqual(['A']))
  expect(room.emulator.objects('products').size).toBeLessThan(400)
  await room.done()
  expect(room.emulator.objects('products').size).toBe(500)
})

test('the number of requests at once is never above the limit, and reaches it', async () => {
  const room = await rooms.open({ delivery: { maxConcurrency: 4, maxBatchObjects: 1 } })
  room.emulator.faults.add({ do: { latencyMs: 20 } })
  let most = 0
  for (let n = 0; n < 60; n += 1) room.send(`p${n}`, n)
  while (room.dispatcher.pendingBytes > 0) {
    most = Math.max(most, room.dispatcher.concurrency.inFlight)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  expect(most).toBe(4)
})
