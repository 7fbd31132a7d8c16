import { describe, expect, test } from 'vitest'
import type { Arrival, Content, Origin, Ticket } from '../../src/delivery/ports.js'
import { ObjectSlot } from '../../src/delivery/slot.js'
import { SyncError } from '../../src/errors.js'

const origin: Origin = { namespace: 'products', source: 'public.products', keyOf: (id) => ({ id }), tombstone: null }
const ticket = (): Ticket => ({ settle: () => {} })

const wal = (value: string, lsn: bigint): Content => ({
  kind: 'object',
  json: `{"id":"1","value":"${value}"}`,
  fingerprint: value,
  lsn,
  by: 'wal',
})
const read = (value: string, lsn: bigint | null): Content => ({ ...wal(value, 0n), lsn, by: 'read' }) as Content
const gone = (lsn: bigint, by: 'wal' | 'read' = 'wal'): Content => ({ kind: 'gone', lsn, by })
const unread: Content = { kind: 'unread' }
const unfit: Content = { kind: 'unfit' }
const lost: Content = { kind: 'lost' }
const invalid: Content = { kind: 'invalid', error: new SyncError('OBJECT_INVALID', 'no') }

function slotWith(...contents: Content[]): ObjectSlot {
  const slot = new ObjectSlot(origin, '1')
  for (const content of contents) take(slot, content)
  return slot
}
function take(slot: ObjectSlot, content: Content, options: Partial<Arrival> = {}): Ticket {
  const arrival = { origin, id: '1', key: null, content, ticket: ticket(), force: false, replayed: false, ...options }
  slot.take(arrival)
  return arrival.ticket
}

describe('of two states of one object, the one to send', () => {
  test.each<[string, Content, Content, Content]>([
    ['a row to be read, then any state: it is read', unread, wal('B', 20n), unread],
    ['any state, then a row to be read: it is read', wal('A', 10n), unread, unread],
    ['gone, then a row to be read: it is read', gone(10n), unread, unread],
    ['invalid, then a row to be read: it is read', invalid, unread, unread],
    ['a later change of the WAL wins', wal('A', 10n), wal('B', 20n), wal('B', 20n)],
    ['a change at the same position wins: one transaction', wal('A', 10n), wal('B', 10n), wal('B', 10n)],
    ['an earlier change of the WAL came again: the later one stays', wal('B', 20n), wal('A', 10n), wal('B', 20n)],
    ['a delete at an earlier position came again: the later state stays', wal('B', 20n), gone(10n), wal('B', 20n)],
    ['a later delete wins', wal('B', 20n), gone(30n), gone(30n)],
    ['an insert after a delete wins', gone(10n), wal('B', 20n), wal('B', 20n)],
    ['a read wins over the WAL, wherever it was', wal('B', 20n), read('C', 10n), read('C', 10n)],
    ['a read wins over an earlier read', read('B', 20n), read('C', 30n), read('C', 30n)],
    ['a change after a read wins', read('B', 20n), wal('C', 30n), wal('C', 30n)],
    ['a change before a read may have been open when it read: it is read again', read('B', 20n), wal('C', 10n), unread],
    ['a row read as gone, then an earlier change: it is read again', gone(20n, 'read'), wal('C', 10n), unread],
    ['a state without a position, then the WAL: the WAL wins', read('B', null), wal('C', 10n), wal('C', 10n)],
    ['the WAL, then a state without a position: the latter wins', wal('B', 20n), read('C', null), read('C', null)],
    ['invalid, then valid: the valid one wins', invalid, wal('B', 20n), wal('B', 20n)],
    ['valid, then invalid: the invalid one wins', wal('B', 20n), invalid, invalid],
    ['valid, then unfit: the key is kept', wal('B', 20n), unfit, unfit],
    ['valid, then lost: the table is marked', wal('B', 20n), lost, lost],
  ])('%s', (_, before, after, sent) => {
    expect(slotWith(before, after).waiting).toEqual(sent)
    // The same rules hold where the first one did not get through.
    const slot = slotWith(wal('X', 1n))
    slot.begin()
    take(slot, after)
    slot.handBack(before, { force: false })
    expect(slot.waiting).toEqual(sent)
  })
})

describe('a state is forced', () => {
  const replayed = { replayed: true }

  test('where the change asks for it, and stays so when a newer state replaces it', () => {
    const slot = slotWith(wal('A', 10n))
    expect(slot.force).toBe(false)
    take(slot, wal('B', 20n), { force: true })
    take(slot, wal('C', 30n))
    expect(slot.force).toBe(true)
  })

  test('not by being replayed alone: the ledger decides', () => {
    const slot = new ObjectSlot(origin, '1')
    take(slot, wal('A', 10n), replayed)
    expect(slot.force).toBe(false)
  })

  test('where it replaces another while changes are replayed: the other may have been sent before the crash', () => {
    const slot = new ObjectSlot(origin, '1')
    take(slot, wal('B', 10n), replayed)
    take(slot, wal('A', 20n), replayed)
    expect(slot.force).toBe(true)
  })

  test('not where the replayed state is the same', () => {
    const slot = new ObjectSlot(origin, '1')
    take(slot, wal('A', 10n), replayed)
    take(slot, wal('A', 20n), replayed)
    expect(slot.force).toBe(false)
  })

  test('where the row has to be read while changes are replayed: an earlier read may have been sent', () => {
    const slot = new ObjectSlot(origin, '1')
    take(slot, unread, replayed)
    expect(slot.force).toBe(true)
  })

  test('where a replayed state comes while another is under way', () => {
    const slot = slotWith(wal('A', 10n))
    slot.begin()
    take(slot, wal('B', 20n), replayed)
    expect(slot.force).toBe(true)
  })

  test('where what was under way was forced, or may have got through', () => {
    const forced = new ObjectSlot(origin, '1')
    take(forced, wal('A', 10n), { force: true })
    forced.begin()
    expect(forced.force).toBe(false)
    forced.handBack(wal('A', 10n), { force: false })
    expect(forced.force).toBe(true)

    const ambiguous = slotWith(wal('A', 10n))
    ambiguous.begin()
    ambiguous.handBack(wal('A', 10n), { force: true })
    expect(ambiguous.force).toBe(true)
  })
})

describe('tickets', () => {
  test('that arrived before a step began are settled by it, later ones are not', () => {
    const slot = new ObjectSlot(origin, '1')
    const before = [take(slot, wal('A', 10n)), take(slot, wal('B', 20n))]
    slot.begin()
    const after = take(slot, wal('C', 30n))
    expect(slot.finish()).toEqual(before)
    slot.begin()
    expect(slot.finish()).toEqual([after])
    expect(slot.finish()).toEqual([])
  })

  test('of a state that is handed back wait again, in their order', () => {
    const slot = new ObjectSlot(origin, '1')
    const first = take(slot, wal('A', 10n))
    slot.begin()
    const second = take(slot, wal('B', 20n))
    slot.handBack(wal('A', 10n), { force: false })
    expect(slot.waiting).toEqual(wal('B', 20n))
    expect(slot.busy).toBe(false)
    slot.begin()
    expect(slot.finish()).toEqual([first, second])
  })
})

describe('the memory of an object', () => {
  const json = wal('A', 10n).kind === 'object' ? '{"id":"1","value":"A"}'.length : 0

  test('is counted once, whether its state waits or is being sent', () => {
    const empty = new ObjectSlot(origin, '1').bytes()
    const slot = slotWith(wal('A', 10n))
    const waiting = slot.bytes()
    expect(waiting).toBeGreaterThanOrEqual(empty + json)
    const content = slot.waiting
    slot.begin()
    slot.sending = content?.kind === 'object' ? content : null
    expect(slot.bytes()).toBe(waiting)
    take(slot, wal('A', 20n))
    expect(slot.bytes()).toBe(waiting * 2 - empty)
    slot.finish()
    expect(slot.bytes()).toBe(waiting)
    slot.begin()
    slot.finish()
    expect(slot.bytes()).toBe(empty)
  })

  test('does not grow with states that are replaced, only with their tickets', () => {
    const slot = slotWith(wal('A', 10n))
    const one = slot.bytes()
    for (let lsn = 11n; lsn <= 110n; lsn += 1n) take(slot, wal('B', lsn))
    expect(slot.bytes() - one).toBeLessThan(100 * 50)
  })
})

describe('the key of the row', () => {
  test('is the one that came last, else follows from the id', () => {
    const slot = slotWith(wal('A', 10n))
    expect(slot.key()).toEqual({ id: '1' })
    take(slot, wal('B', 20n), { key: { a: '1', b: '2' } })
    take(slot, wal('C', 30n))
    expect(slot.key()).toEqual({ a: '1', b: '2' })
  })

  test('is asked for in vain where neither is there: that is a bug, and says so', () => {
    const slot = new ObjectSlot({ ...origin, keyOf: null }, '1')
    expect(() => slot.key()).toThrow(expect.objectContaining({ code: 'INTERNAL' }))
  })
})
