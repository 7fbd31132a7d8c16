import { describe, expect, test } from 'vitest'
import { object, type Room, useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()
const inFlight = (room: Room) => soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(1))

/** An object that was accepted with this value, by an earlier process as well as by this one. */
async function acceptedBefore(room: Room, id: string, value: unknown): Promise<void> {
  room.send(id, value)
  await room.done()
}

describe('order', () => {
  test('random updates of few objects, many requests at once: never two with one object, never an older state later', async () => {
    const room = await rooms.open({ delivery: { maxBatchObjects: 3, maxBatchAgeMs: 1 } })
    for (const [seed, latencyMs] of [3, 11, 29, 50].entries()) {
      room.emulator.faults.add({ when: { probability: 0.5, seed }, do: { latencyMs } })
    }
    const last = new Map<string, number>()
    for (let value = 0; value < 3_000; value += 1) {
      const id = `p${Math.floor(Math.random() * 8)}`
      room.send(id, value)
      last.set(id, value)
      if (value % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 3))
    }
    await room.done()
    for (const [id, value] of last) {
      const values = room.accepted(id) as number[]
      expect(values.at(-1)).toBe(value)
      expect(values).toEqual([...values].sort((a, b) => a - b))
    }
    expect(room.dispatcher.counts.requests).toBeGreaterThan(20)
  })

  test('a change that comes again after a newer one was accepted is not sent: the row tells', async () => {
    const room = await rooms.open()
    room.send('1', 'A')
    await room.done()
    room.send('1', 'B')
    await room.done()
    const again = { kind: 'object', json: '{"id":"1","value":"A"}', fingerprint: 'A', lsn: 1n, by: 'wal' } as const
    room.rows.set('1', { ...again, json: '{"id":"1","value":"C"}', fingerprint: 'C', lsn: 0x999n, by: 'read' })
    room.arrive('1', again)
    await room.done()
    expect(room.accepted('1')).toEqual(['A', 'B', 'C'])
    expect(room.reads).toEqual([['1']])
  })

  test('the same id in two namespaces is two objects', async () => {
    const room = await rooms.open()
    room.send('1', 'A')
    room.send('1', 'B', { namespace: 'messages' })
    await room.done()
    expect([room.accepted('1'), room.accepted('1', 'messages')]).toEqual([['A'], ['B']])
    expect(await room.objects()).toHaveLength(2)
  })
})

describe('what was accepted', () => {
  test('is not sent again: the change is settled without a request', async () => {
    const room = await rooms.open()
    await acceptedBefore(room, '1', 'A')
    for (let n = 0; n < 10; n += 1) room.send('1', 'A')
    await room.done()
    expect(room.dispatcher.counts).toMatchObject({ requests: 1, unchanged: expect.any(Number) })
    expect(room.dispatcher.counts.unchanged).toBeGreaterThan(0)
    expect(room.accepted('1')).toEqual(['A'])
  })

  test('is not sent again by another process on the same ledger', async () => {
    const first = await rooms.open()
    await acceptedBefore(first, '1', 'A')
    const second = await rooms.open()
    second.send('1', 'A')
    await soon(() => expect(second.handed[0]?.settled).toBe(1))
    expect(second.dispatcher.counts).toMatchObject({ requests: 0, unchanged: 1 })
    expect(second.dispatcher.pendingBytes).toBe(0)
    // Only the first one's emulator knows the object.
    await second.stop()
  })

  test('is sent again where that is asked for', async () => {
    const room = await rooms.open()
    await acceptedBefore(room, '1', 'A')
    room.send('1', 'A', { force: true })
    await room.done()
    expect(room.accepted('1')).toEqual(['A', 'A'])
  })

  test('is sent again after something else that is in flight', async () => {
    const room = await rooms.open()
    await acceptedBefore(room, '1', 'A')
    room.emulator.faults.add({ when: { times: 1 }, do: { latencyMs: 500 } })
    room.send('1', 'B')
    await inFlight(room)
    room.send('1', 'A')
    await room.done()
    expect(room.accepted('1')).toEqual(['A', 'B', 'A'])
  })

  test('is not sent again after something else that was refused meanwhile', async () => {
    const room = await rooms.open()
    await acceptedBefore(room, '1', 'A')
    room.emulator.faults.add({ when: { times: 1 }, do: { reject: 422, message: 'no', latencyMs: 500 } })
    room.send('1', 'B')
    await inFlight(room)
    room.send('1', 'A')
    await room.done()
    expect(room.accepted('1')).toEqual(['A'])
    expect(await room.objects()).toMatchObject([{ object_id: '1', state: 'accepted', error: null }])
  })

  test.each([
    ['a reset', { resetAfterAccept: true }],
    ['a time-out', { hangAfterAccept: true }],
  ] as const)('is sent again after something whose answer was lost by %s', async (_, fault) => {
    // A long wait before the retry, so that it is the older state that comes meanwhile.
    const room = await rooms.open({ delivery: { retryBaseMs: 3_000, requestTimeoutMs: 700 }, random: () => 1 })
    await acceptedBefore(room, '1', 'A')
    room.emulator.faults.add({ when: { times: 1 }, do: fault })
    room.send('1', 'B')
    await soon(() => expect(room.accepted('1')).toEqual(['A', 'B']))
    room.send('1', 'A')
    await room.done()
    expect(room.accepted('1')).toEqual(['A', 'B', 'A'])
  })

  test('is sent again by the next process, where one that was killed may have sent something else', async () => {
    const room = await rooms.open()
    await acceptedBefore(room, '1', 'A')
    // B was accepted, and the process died before it was recorded; then the WAL brings both again.
    room.rows.set('1', object('1', 'A', 0xf000_0000n, 'read'))
    room.send('1', 'B', { replayed: true })
    room.send('1', 'A', { replayed: true })
    await room.done()
    expect(room.accepted('1')).toEqual(['A', 'A'])
  })

  test('is not sent again by the next process, where one that was killed may have sent something newer', async () => {
    const room = await rooms.open()
    await acceptedBefore(room, '1', 'A')
    // C, which the WAL brings only later, was accepted and is not recorded.
    room.rows.set('1', object('1', 'C', 0xf000_0000n, 'read'))
    room.send('1', 'B', { replayed: true })
    room.send('1', 'A', { replayed: true })
    await room.done()
    expect(room.accepted('1')).toEqual(['A', 'C'])
  })

  test('and was read of the row does not stand for a version of a transaction that was open at the read', async () => {
    const room = await rooms.open()
    const origin = room.origin('products', { every: true })
    room.send('1', 'A', { origin })
    await room.done()
    room.rows.set('1', object('1', 'B', 0xf000_0000n, 'read'))
    room.arrive('1', { kind: 'unread' }, { origin, kept: true })
    await room.done()
    room.arrive('1', object('1', 'C', 0xe000_0000n), { origin })
    await room.done()
    expect(room.accepted('1')).toEqual(['A', 'B', 'C'])
  })

  test('is sent again once its row comes back, where what was in doubt when it went away may have got through', async () => {
    const room = await rooms.open({ delivery: { retryBaseMs: 1_000 }, random: () => 1 })
    await acceptedBefore(room, '1', 'A')
    room.emulator.faults.add({ when: { times: 1 }, do: { resetAfterAccept: true } })
    room.send('1', 'B')
    await soon(() => expect(room.accepted('1')).toEqual(['A', 'B']))
    const excluded = room.arrive('1', { kind: 'gone', lsn: 0x900n, by: 'wal' })
    await soon(() => expect(excluded.settled).toBe(1))
    room.arrive('1', {
      kind: 'object',
      json: '{"id":"1","value":"A"}',
      fingerprint: await known(),
      lsn: 0x901n,
      by: 'wal',
    })
    await room.done()
    expect(room.accepted('1').at(-1)).toBe('A')

    async function known(): Promise<string> {
      return (await rooms.ledger.lookup('products', ['1']))[0]?.fingerprint ?? ''
    }
  })
})
