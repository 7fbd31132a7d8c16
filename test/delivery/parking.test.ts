import { expect, test } from 'vitest'
import { tombstone } from '../../src/mapping/object.js'
import { object, type Room, useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()

/** What the column `error` of a parked object may say. */
interface Doubted {
  readonly inDoubt?: boolean
}

const refuseAll = (room: Room) => room.emulator.faults.add({ do: { reject: 422, message: 'no' } })

/** As the schedule does: the row is read and sent again, whatever is known of it. */
async function again(room: Room, id: string): Promise<void> {
  room.arrive(id, { kind: 'unread' }, { force: true })
  await room.done()
}

test('the attempts of an object that is refused again and again count up, and by the schedule it is dead in the end', async () => {
  const room = await rooms.open({ retryAfterMs: [60_000, 600_000] })
  refuseAll(room)
  room.rows.set('1', object('1', 'A', 0x500n, 'read'))
  const seen: unknown[] = []
  const waits: number[] = []
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    const before = Date.now()
    await again(room, '1')
    const [row] = await room.objects()
    seen.push([row?.state, row?.attempts])
    waits.push(row?.retry_at instanceof Date ? row.retry_at.getTime() - before : -1)
  }
  expect(seen).toEqual([
    ['parked', 1],
    ['parked', 2],
    ['dead', 3],
  ])
  expect(waits[0]).toBeGreaterThanOrEqual(60_000)
  expect(waits[0]).toBeLessThan(600_000)
  expect(waits[1]).toBeGreaterThanOrEqual(600_000)
  expect(waits[2]).toBe(-1)
  expect(room.dispatcher.counts.parked).toBe(3)
})

test('without a schedule a refused object is dead at once', async () => {
  const room = await rooms.open({ retryAfterMs: [] })
  refuseAll(room)
  room.send('1', 'A')
  await room.done()
  expect(await room.objects()).toMatchObject([{ state: 'dead', attempts: 1, retry_at: null }])
})

test('a dead object whose content changes is sent again, with a schedule from its start', async () => {
  const room = await rooms.open({ retryAfterMs: [60_000] })
  const fault = refuseAll(room)
  room.send('1', 'A')
  await room.done()
  room.send('1', 'B')
  await room.done()
  expect(await room.objects()).toMatchObject([{ state: 'dead', attempts: 2 }])
  room.send('1', 'C')
  await room.done()
  expect(await room.objects()).toMatchObject([{ state: 'parked', attempts: 1 }])
  fault.remove()
  room.send('1', 'D')
  await room.done()
  expect(await room.objects()).toMatchObject([{ state: 'accepted', attempts: 0, retry_at: null, error: null }])
  expect(room.accepted('1')).toEqual(['D'])
})

test('a parked object keeps the request that was accepted before, and its next acceptance clears the refusal', async () => {
  const room = await rooms.open()
  room.send('1', 'A')
  await room.done()
  const [accepted] = await room.objects()
  const fault = refuseAll(room)
  room.send('1', 'B')
  await room.done()
  expect(await room.objects()).toMatchObject([{ state: 'parked', request_id: accepted?.request_id, attempts: 1 }])
  fault.remove()
  room.rows.set('1', object('1', 'B', 0x500n, 'read'))
  await again(room, '1')
  const [now] = await room.objects()
  expect(now).toMatchObject({ state: 'accepted', attempts: 0, error: null, retry_at: null })
  expect(now?.request_id).not.toBe(accepted?.request_id)
  expect(room.accepted('1')).toEqual(['A', 'B'])
})

test('a parked object whose row is gone is forgotten, or is what was accepted before', async () => {
  const room = await rooms.open()
  room.send('known', 'A')
  await room.done()
  refuseAll(room)
  room.send('known', 'B')
  room.send('new', 'B')
  await room.done()
  await again(room, 'known')
  await again(room, 'new')
  expect(await room.objects()).toMatchObject([{ object_id: 'known', state: 'accepted', attempts: 0, error: null }])
})

test('a tombstone that is refused is tried again, also for an object that only may have got through', async () => {
  const room = await rooms.open({ delivery: { retryBaseMs: 1_000 }, random: () => 1 })
  room.origin('products', { tombstone })
  room.emulator.faults.add({ when: { times: 1 }, do: { resetAfterAccept: true } })
  const refusal = refuseAll(room)
  room.send('1', 'A')
  await soon(() => expect(room.accepted('1')).toEqual(['A']))
  room.arrive('1', { kind: 'gone', lsn: 0x500n, by: 'wal' })
  await room.done()
  expect(await room.objects()).toMatchObject([{ state: 'parked', request_id: null }])
  refusal.remove()
  await again(room, '1')
  expect(room.emulator.object('products', '1')?.data).toEqual({ id: '1', deleted: true })
})

test('a refusal after an attempt without an answer is in doubt: its key comes again with force, and only then', async () => {
  const room = await rooms.open()
  const refusal = refuseAll(room)
  room.send('plain', 'A')
  await room.done()
  refusal.remove()
  room.emulator.faults.add({ when: { times: 1 }, do: { resetAfterAccept: true } })
  refuseAll(room)
  room.send('doubted', 'A')
  await room.done()
  expect(room.accepted('doubted')).toEqual(['A'])
  expect((await room.objects()).map(({ object_id, error }) => [object_id, (error as Doubted | null)?.inDoubt])).toEqual(
    [
      ['doubted', true],
      ['plain', undefined],
    ],
  )

  await rooms.db.query('UPDATE safetykit.objects SET retry_at = now()')
  expect(await rooms.ledger.requeueDue([{ source: 'public.products', namespace: 'products' }], 10)).toBe(2)
  expect(await room.dirty()).toEqual(
    expect.arrayContaining([
      { source: 'public.products', key: { id: 'doubted' }, force: true },
      { source: 'public.products', key: { id: 'plain' }, force: false },
    ]),
  )
})

test('what arrives while a refusal is being recorded is dealt with next', async () => {
  const room = await rooms.open({ delivery: { maxBatchObjects: 1 } })
  room.emulator.faults.add({ when: { times: 1 }, do: { reject: 422, message: 'no' } })
  const client = await rooms.db.client()
  await client.query('BEGIN')
  await client.query('LOCK TABLE safetykit.objects IN SHARE MODE')
  room.send('1', 'A')
  await soon(() => expect(room.dispatcher.counts.parked).toBe(1))
  room.send('1', 'B')
  expect(room.handed.map(({ settled }) => settled)).toEqual([0, 0])
  await client.query('COMMIT')
  await room.done()
  expect(room.accepted('1')).toEqual(['B'])
  expect(await room.objects()).toMatchObject([{ state: 'accepted', attempts: 0, error: null }])
})

test('an object is told of in the log without its key or its values', async () => {
  const room = await rooms.open()
  refuseAll(room)
  room.send('secret-key', 'secret-value')
  await room.done()
  const told = room.log.find(({ message }) => message === 'An object was refused and parked')
  expect(told?.fields).toEqual({
    namespace: 'products',
    source: 'public.products',
    state: 'parked',
    code: 'API_REJECTED',
    status: 422,
    attempts: 1,
  })
  expect(JSON.stringify(room.log)).not.toContain('secret-')
})
