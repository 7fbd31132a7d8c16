import { describe, expect, test } from 'vitest'
import { useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()
const counts = (room: { handed: readonly { settled: number }[] }) => room.handed.map((change) => change.settled)

describe('stop', () => {
  test('waits for what is in flight and records it; what waits stays unsettled', async () => {
    const room = await rooms.open({ delivery: { maxConcurrency: 1, maxBatchObjects: 1 } })
    room.emulator.faults.add({ do: { latencyMs: 500 } })
    for (const id of ['1', '2', '3']) room.send(id, 'A')
    await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(1))
    room.send('1', 'B')
    expect(await room.stop()).toEqual({ inDoubt: false })
    expect(counts(room)).toEqual([1, 0, 0, 0])
    expect(await room.objects()).toMatchObject([{ object_id: '1', state: 'accepted' }])
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(room.emulator.stats.calls.add).toBe(1)
  })

  test('takes nothing more', async () => {
    const room = await rooms.open()
    await room.stop()
    room.send('1', 'A')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([room.dispatcher.pendingBytes, room.emulator.stats.calls.add, counts(room)]).toEqual([0, 0, [0]])
  })

  test('ends at once where the ledger is away and nothing was sent', async () => {
    const room = await rooms.open()
    await rooms.db.query('ALTER TABLE safetykit.objects RENAME TO away')
    room.send('1', 'A')
    await soon(() => expect(room.log.some(({ level }) => level === 'error')).toBe(true))
    expect(await room.stop()).toEqual({ inDoubt: false })
    await rooms.db.query('ALTER TABLE safetykit.away RENAME TO objects')
    expect(counts(room)).toEqual([0])
  })

  test('does not send the halves of a batch that is refused meanwhile', async () => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { ids: ['3'] }, do: { reject: 422, message: 'no', latencyMs: 500 } })
    for (const id of ['1', '2', '3', '4']) room.send(id, 'A')
    await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(1))
    expect(await room.stop()).toEqual({ inDoubt: false })
    expect([room.emulator.stats.calls.add, counts(room)]).toEqual([1, [0, 0, 0, 0]])
    expect(await room.objects()).toEqual([])
  })

  test('does not try again what fails meanwhile', async () => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { times: 1 }, do: { status: 429, latencyMs: 300 } })
    room.send('1', 'A')
    await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(1))
    expect(await room.stop()).toEqual({ inDoubt: false })
    expect([room.emulator.stats.calls.add, counts(room)]).toEqual([1, [0]])
  })
})

describe('what the API may have without a record of it is told', () => {
  test.each([
    ['a time-out', { hangAfterAccept: true }],
    ['a reset', { resetAfterAccept: true, latencyMs: 300 }],
    ['a 500', { status: 500, latencyMs: 300 }],
  ] as const)('after %s', async (_, fault) => {
    const room = await rooms.open({ delivery: { requestTimeoutMs: 1_000 } })
    room.emulator.faults.add({ do: fault })
    room.send('1', 'A')
    await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(1))
    expect(await room.stop()).toEqual({ inDoubt: true })
    expect(counts(room)).toEqual([0])
  })

  test('not where it was sent again and recorded before', async () => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { times: 3 }, do: { resetAfterAccept: true } })
    room.send('1', 'A')
    await room.done()
    expect(await room.stop()).toEqual({ inDoubt: false })
  })

  test('also where it was parked in the end: the API may have what it refuses now', async () => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { times: 1 }, do: { resetAfterAccept: true } })
    room.emulator.faults.add({ do: { reject: 422, message: 'no' } })
    room.send('1', 'A')
    await soon(() => expect(counts(room)).toEqual([1]))
    expect(room.accepted('1')).toEqual(['A'])
    expect(await room.stop()).toEqual({ inDoubt: true })
  })

  test('where the ledger is given up: stop ends, and what it did not take comes again', async () => {
    const room = await rooms.open()
    await rooms.db.query('ALTER TABLE safetykit.requests RENAME TO away')
    room.send('1', 'A')
    await soon(() => expect(room.accepted('1')).toEqual(['A']))
    await soon(() => expect(room.log.some(({ level }) => level === 'error')).toBe(true))
    const stopped = room.stop()
    const first = await Promise.race([stopped, new Promise((resolve) => setTimeout(() => resolve('waits'), 300))])
    expect(first).toBe('waits')
    room.dispatcher.abandon()
    expect(await stopped).toEqual({ inDoubt: true })
    await rooms.db.query('ALTER TABLE safetykit.away RENAME TO requests')
    expect(counts(room)).toEqual([0])
    expect(await room.objects()).toEqual([])
  })
})

describe('idle', () => {
  test('is at once where nothing waits', async () => {
    const room = await rooms.open()
    await room.dispatcher.idle()
  })

  test('is not before the last change is settled', async () => {
    const room = await rooms.open()
    room.emulator.faults.add({ when: { ids: ['2'] }, do: { latencyMs: 200 } })
    room.send('1', 'A')
    room.send('2', 'A')
    await Promise.all([room.dispatcher.idle(), room.dispatcher.idle()])
    expect(room.dispatcher.pendingBytes).toBe(0)
    expect(await room.objects()).toHaveLength(2)
  })
})
