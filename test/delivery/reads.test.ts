import { describe, expect, test } from 'vitest'
import type { Content } from '../../src/delivery/ports.js'
import { SyncError } from '../../src/errors.js'
import { tombstone } from '../../src/mapping/object.js'
import { object, useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()
const unread: Content = { kind: 'unread' }
const latch = () => {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

describe('a row that has to be read', () => {
  test('is sent as it is now', async () => {
    const room = await rooms.open()
    room.rows.set('1', object('1', 'now', 0x500n, 'read'))
    room.arrive('1', unread)
    await room.done()
    expect([room.accepted('1'), room.reads]).toEqual([['now'], [['1']]])
  })

  test('is read with others, two hundred at most in one query', async () => {
    const room = await rooms.open()
    for (let n = 0; n < 450; n += 1) {
      room.rows.set(`p${n}`, object(`p${n}`, n, 0x500n, 'read'))
      room.arrive(`p${n}`, unread)
    }
    await room.done()
    const sizes = room.reads.map((ids) => ids.length)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(200)
    expect(sizes.reduce((sum, size) => sum + size)).toBe(450)
    expect(sizes.length).toBeLessThan(20)
  })

  test('is read once for many changes that came before', async () => {
    const room = await rooms.open()
    room.rows.set('1', object('1', 'now', 0x500n, 'read'))
    for (let n = 0; n < 100; n += 1) room.arrive('1', unread)
    await room.done()
    expect([room.reads, room.handed.length]).toEqual([[['1']], 100])
  })

  test('is read again where it changed while it was read', async () => {
    const room = await rooms.open()
    const { open, opened } = latch()
    let reads = 0
    room.beforeRead = async () => {
      reads += 1
      if (reads === 1) await opened
    }
    room.rows.set('1', () => object('1', `read ${reads}`, 0x500n + BigInt(reads), 'read'))
    room.arrive('1', unread)
    await soon(() => expect(reads).toBe(1))
    room.arrive('1', unread)
    open()
    await room.done()
    expect(room.accepted('1')).toEqual(['read 2'])
  })

  test.each([
    ['before', 0x400n, ['read 2']],
    ['after', 0x600n, ['wal']],
  ])('and a change of the WAL comes meanwhile, from %s the read', async (_, lsn, accepted) => {
    const room = await rooms.open()
    const { open, opened } = latch()
    let reads = 0
    room.beforeRead = async () => {
      reads += 1
      if (reads === 1) await opened
    }
    room.rows.set('1', () => object('1', `read ${reads}`, 0x500n + BigInt(reads), 'read'))
    room.arrive('1', unread)
    await soon(() => expect(reads).toBe(1))
    room.arrive('1', object('1', 'wal', lsn))
    open()
    await room.done()
    expect(room.accepted('1')).toEqual(accepted)
  })

  test('is read again and again until the database answers; other objects do not wait for it', async () => {
    const room = await rooms.open()
    let failing = true
    room.beforeRead = async () => {
      if (failing) throw new SyncError('DATABASE_UNREACHABLE', 'away')
    }
    room.rows.set('1', object('1', 'now', 0x500n, 'read'))
    const waiting = room.arrive('1', unread)
    await soon(() => expect(room.log.filter(({ level }) => level === 'error').length).toBeGreaterThan(2))
    room.send('2', 'A')
    await soon(() => expect(room.accepted('2')).toEqual(['A']))
    expect(waiting.settled).toBe(0)
    failing = false
    await room.done()
    expect(room.accepted('1')).toEqual(['now'])
  })

  test('that is what was accepted is not sent again, but where that is asked for', async () => {
    const room = await rooms.open()
    room.rows.set('1', object('1', 'A', 0x500n, 'read'))
    room.arrive('1', unread)
    await room.done()
    room.arrive('1', unread)
    await room.done()
    expect(room.accepted('1')).toEqual(['A'])
    room.arrive('1', unread, { force: true })
    await room.done()
    expect(room.accepted('1')).toEqual(['A', 'A'])
  })

  test('and cannot be mapped is parked', async () => {
    const room = await rooms.open()
    room.rows.set('1', { kind: 'invalid', error: new SyncError('OBJECT_INVALID', 'no') })
    room.arrive('1', unread)
    await room.done()
    expect(await room.objects()).toMatchObject([{ object_id: '1', state: 'parked', error: { code: 'OBJECT_INVALID' } }])
  })
})

describe('a row that is gone, or is no longer selected', () => {
  test('is settled without a request where nothing of it was sent', async () => {
    const room = await rooms.open()
    room.origin('products', { tombstone })
    room.arrive('1', unread)
    room.arrive('2', { kind: 'gone', lsn: 0x500n, by: 'wal' })
    await room.done()
    expect([room.emulator.stats.calls.add, await room.objects()]).toEqual([0, []])
  })

  test('is settled without a request where deletes are ignored', async () => {
    const room = await rooms.open()
    room.send('1', 'A')
    await room.done()
    room.arrive('1', unread)
    await room.done()
    room.arrive('1', { kind: 'gone', lsn: 0x500n, by: 'wal' })
    await room.done()
    expect(room.emulator.stats.calls.add).toBe(1)
  })

  test('leaves a tombstone, once, and is sent again when it comes back', async () => {
    const room = await rooms.open()
    room.origin('products', { tombstone })
    room.send('1', 'A')
    await room.done()
    room.arrive('1', { kind: 'gone', lsn: 0x500n, by: 'wal' })
    await room.done()
    room.arrive('1', unread)
    await room.done()
    expect(room.emulator.history('products', '1').map(({ data }) => data)).toEqual([
      { id: '1', value: 'A' },
      { id: '1', deleted: true },
    ])
    room.arrive('1', object('1', 'A', 0x600n))
    await room.done()
    expect(room.accepted('1')).toEqual(['A', undefined, 'A'])
  })
})

describe('a key that cannot be worked now', () => {
  test('is kept in dirty, with the key that came with the change, and settled', async () => {
    const room = await rooms.open()
    room.arrive('1', { kind: 'unfit' })
    room.arrive('2', { kind: 'unfit' }, { key: { a: '2', b: 'x' }, force: true })
    room.rows.set('3', { kind: 'unfit' })
    room.arrive('3', unread)
    await room.done()
    const source = 'public.products'
    expect(new Set(await room.dirty())).toEqual(
      new Set([
        { source, key: { id: '1' }, force: false },
        { source, key: { a: '2', b: 'x' }, force: true },
        { source, key: { id: '3' }, force: false },
      ]),
    )
    expect(room.emulator.stats.calls.add).toBe(0)
  })

  test('is kept with force where the API may have a state that is not recorded', async () => {
    const room = await rooms.open({ delivery: { retryBaseMs: 1_000 }, random: () => 1 })
    room.emulator.faults.add({ when: { times: 1 }, do: { resetAfterAccept: true } })
    room.send('1', 'A')
    await soon(() => expect(room.accepted('1')).toEqual(['A']))
    await soon(() => expect(room.dispatcher.concurrency.inFlight).toBe(0))
    room.arrive('1', { kind: 'unfit' })
    await room.done()
    expect(await room.dirty()).toMatchObject([{ key: { id: '1' }, force: true }])
  })

  test('marks the whole table where it is no key of it any more', async () => {
    const room = await rooms.open()
    room.rows.set('1', { kind: 'lost' })
    room.arrive('1', unread)
    await room.done()
    expect(await room.dirty()).toEqual([{ source: 'public.products', key: null, force: false }])
  })
})

test('a whole table that is marked is settled once the mark is durable; many marks are one', async () => {
  const room = await rooms.open()
  let settled = 0
  const ticket = {
    settle: () => {
      settled += 1
    },
  }
  for (let n = 0; n < 50; n += 1) room.dispatcher.markTable('public.products', ticket)
  expect(settled).toBe(0)
  await soon(() => expect(settled).toBe(50))
  expect(await room.dirty()).toEqual([{ source: 'public.products', key: null, force: false }])
})
