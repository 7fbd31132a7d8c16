import { describe, expect, test } from 'vitest'
import type { SpillPort } from '../../src/delivery/ports.js'
import { object, type Room, useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()

/** A room whose changes are kept as keys once `begin` is called. */
async function spillingRoom(port: Partial<SpillPort> = {}): Promise<{ room: Room; begin: () => void }> {
  let spills = false
  const spill: SpillPort = { keeps: () => spills, kept: () => {}, doubtKeys: async () => {}, ...port }
  const room = await rooms.open({ spill, delivery: { requestTimeoutMs: 200 } })
  const begin = (): void => {
    spills = true
    room.dispatcher.handOver()
  }
  return { room, begin }
}

const key = (id: string, force = false) => ({ source: 'public.products', key: { id }, force })

describe('what waits for an API that is away', () => {
  test('is kept as keys, and settled; what came from dirty stays where it is', async () => {
    const { room, begin } = await spillingRoom()
    const away = room.emulator.faults.add({ do: { status: 503 } })
    room.rows.set('3', object('3', 'read', 0x200n, 'read'))
    const [first, second] = [room.send('1', 'A'), room.send('2', 'A')]
    const third = room.arrive('3', { kind: 'unread' }, { kept: true })
    await soon(() => expect(away.hits).toBeGreaterThan(2))
    begin()
    await soon(() => expect([first.settled, second.settled, third.settled]).toEqual([1, 1, 0]))
    const dirty = await room.dirty()
    expect(dirty).toHaveLength(2)
    expect(dirty).toMatchObject([{ key: { id: '1' } }, { key: { id: '2' } }])
    expect(room.dispatcher.walBytes).toBe(0)
    away.remove()
    await room.done()
    expect(room.accepted('3')).toEqual(['read'])
  })

  test('is handed over as well where its row waits to be read', async () => {
    const { room, begin } = await spillingRoom()
    room.emulator.faults.add({ when: { namespace: 'products' }, do: { status: 503 } })
    const large = 'x'.repeat(900_000)
    for (let n = 0; n < 12; n += 1) room.rows.set(`large ${n}`, object(`large ${n}`, large, 0x200n, 'read'))
    for (let n = 0; n < 12; n += 1) room.arrive(`large ${n}`, { kind: 'unread' }, { kept: true })
    await soon(() => expect(room.dispatcher.pendingBytes).toBeGreaterThan(8 * 1024 * 1024))
    const hint = room.arrive('1', { kind: 'unread' })
    begin()
    await soon(() => expect(hint.settled).toBe(1))
    expect(await room.dirty()).toEqual([key('1')])
    expect(room.reads.flat()).not.toContain('1')
    await room.stop()
  })

  test('is kept with force where the API may have it, and settled only once a later process would know', async () => {
    let known: () => void = () => {}
    const doubtKeys = (): Promise<void> => new Promise((resolve) => (known = resolve))
    const { room, begin } = await spillingRoom({ doubtKeys })
    room.emulator.faults.add({ do: { hangAfterAccept: true } })
    const change = room.send('1', 'A')
    await soon(() => expect(room.accepted('1')).toEqual(['A']))
    begin()
    await soon(async () => expect(await room.dirty()).toEqual([key('1', true)]))
    expect(change.settled).toBe(0)
    known()
    await soon(() => expect(change.settled).toBe(1))
    // And this one knows anyway: what comes from `dirty` is sent, whatever the ledger says.
    expect(await room.stop()).toEqual({ inDoubt: true })
  })
})

test('a row that is being read for a hint when its versions come gives way to them', async () => {
  const room = await rooms.open()
  const origin = room.origin('products', { every: true })
  let answer: (() => void) | undefined
  room.beforeRead = () => new Promise((resolve) => (answer = resolve))
  room.rows.set('1', object('1', 'v3', 0x900n, 'read'))
  const hint = room.arrive('1', { kind: 'unread' }, { origin, kept: true })
  await soon(() => expect(answer).toBeDefined())
  for (const value of ['v1', 'v2', 'v3']) room.send('1', value, { origin })
  room.beforeRead = async () => {}
  answer?.()
  await room.done()
  expect(room.accepted('1')).toEqual(['v1', 'v2', 'v3'])
  expect(hint.settled).toBe(1)
})
