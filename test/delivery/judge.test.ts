import { describe, expect, test } from 'vitest'
import { judge } from '../../src/delivery/judge.js'
import type { Content, KnownObject, Origin } from '../../src/delivery/ports.js'
import { ObjectSlot } from '../../src/delivery/slot.js'
import { SyncError } from '../../src/errors.js'
import { tombstone } from '../../src/mapping/object.js'

const origin: Origin = { namespace: 'products', source: 'public.products', keyOf: (id) => ({ id }), tombstone: null }
const grave = tombstone('1')
const refusal = new SyncError('OBJECT_INVALID', 'A computed field threw')

const row = (fingerprint: string, lsn: bigint | null, by: 'wal' | 'read' = 'wal'): Content => ({
  kind: 'object',
  json: `{"id":"1","value":"${fingerprint}"}`,
  fingerprint,
  lsn,
  by,
})
const gone = (lsn: bigint, by: 'wal' | 'read' = 'wal'): Content => ({ kind: 'gone', lsn, by })
const known = (fingerprint: string | null, lsn: bigint | null, more: Partial<KnownObject> = {}): KnownObject => {
  return { state: 'accepted', requestId: 'req_1', fingerprint, lsn, attempts: 0, ...more }
}
const parked = known('A', 10n, { state: 'parked', attempts: 2 })
const dead = known('A', 10n, { state: 'dead', attempts: 3 })
const neverAccepted = known(null, null, { state: 'parked', requestId: null, attempts: 1 })

interface Case {
  readonly waiting: Content | null
  readonly known: KnownObject | null
  readonly force?: boolean
  readonly graves?: boolean
  /** The API may have a state that is not recorded. */
  readonly inDoubt?: boolean
  /** An earlier process may have come as far as this change. */
  readonly replayed?: boolean
  readonly verdict: unknown
}

const send = (content: Content) => ({ kind: 'send', content })
const buried = (lsn: bigint, by: 'wal' | 'read' = 'wal') => send({ ...grave, kind: 'object', lsn, by } as Content)
const settle = { kind: 'settle' }
const toRead = { kind: 'read' }

const cases: Record<string, Case> = {
  'an object that is not known is sent': { waiting: row('A', 10n), known: null, verdict: send(row('A', 10n)) },
  'a newer content is sent': { waiting: row('B', 20n), known: known('A', 10n), verdict: send(row('B', 20n)) },
  'what was accepted is not sent again': { waiting: row('A', 20n), known: known('A', 10n), verdict: settle },
  'what was accepted is not sent again, though it is older': {
    waiting: row('A', 5n),
    known: known('A', 10n),
    verdict: settle,
  },
  'what was accepted is sent again where that is asked for': {
    waiting: row('A', 20n),
    known: known('A', 10n),
    force: true,
    verdict: send(row('A', 20n)),
  },
  'an older content is not sent, the row is read': { waiting: row('B', 5n), known: known('A', 10n), verdict: toRead },
  'an older content is not sent even if asked for': {
    waiting: row('B', 5n),
    known: known('A', 10n),
    force: true,
    verdict: toRead,
  },
  'a content of the same position is sent: one transaction': {
    waiting: row('B', 10n),
    known: known('A', 10n),
    verdict: send(row('B', 10n)),
  },
  'what was read is the newest, whatever its position': {
    waiting: row('B', 5n, 'read'),
    known: known('A', 10n),
    verdict: send(row('B', 5n, 'read')),
  },
  'a content without a position is sent': {
    waiting: row('B', null),
    known: known('A', 10n),
    verdict: send(row('B', null)),
  },
  'a content is sent where the known one has no position': {
    waiting: row('B', 5n),
    known: known('A', null),
    verdict: send(row('B', 5n)),
  },
  'a parked object is sent again with a new content': {
    waiting: row('B', 20n),
    known: parked,
    verdict: send(row('B', 20n)),
  },
  'a parked object is sent even with the content that was accepted last: what it was parked with may be there': {
    waiting: row('A', 20n),
    known: parked,
    verdict: send(row('A', 20n)),
  },
  'a dead object is sent again with a new content': {
    waiting: row('B', 20n),
    known: dead,
    verdict: send(row('B', 20n)),
  },
  'an older content of a parked object is not sent': { waiting: row('B', 5n), known: parked, verdict: toRead },

  'gone: never sent, nothing to do': { waiting: gone(10n), known: null, verdict: settle },
  'gone: deletes are ignored': { waiting: gone(20n), known: known('A', 10n), verdict: settle },
  'gone: deletes are ignored, also by force': {
    waiting: gone(20n),
    known: known('A', 10n),
    force: true,
    verdict: settle,
  },
  'gone: the row of a parked object': { waiting: gone(20n), known: parked, verdict: { kind: 'unpark' } },
  'gone: the row of a dead object': { waiting: gone(20n), known: dead, verdict: { kind: 'unpark' } },
  'gone: the row of a parked object that was never accepted': {
    waiting: gone(20n),
    known: neverAccepted,
    verdict: { kind: 'unpark' },
  },
  'gone before what was accepted: the row is read': { waiting: gone(5n), known: known('A', 10n), verdict: toRead },
  'gone as a read saw it, whatever its position': {
    waiting: gone(5n, 'read'),
    known: known('A', 10n),
    verdict: settle,
  },
  'a tombstone is sent for what was accepted': {
    waiting: gone(20n),
    known: known('A', 10n),
    graves: true,
    verdict: buried(20n),
  },
  'a tombstone is sent as a read saw it': {
    waiting: gone(5n, 'read'),
    known: known('A', 10n),
    graves: true,
    verdict: buried(5n, 'read'),
  },
  'a tombstone is not sent for what was never sent': { waiting: gone(20n), known: null, graves: true, verdict: settle },
  'a tombstone is not sent for what was parked and never accepted': {
    waiting: gone(20n),
    known: neverAccepted,
    graves: true,
    verdict: { kind: 'unpark' },
  },
  'a tombstone is sent for what was accepted and parked later': {
    waiting: gone(20n),
    known: parked,
    graves: true,
    verdict: buried(20n),
  },
  'a tombstone is not sent twice': {
    waiting: gone(20n),
    known: known(grave.fingerprint, 10n),
    graves: true,
    verdict: settle,
  },
  'a tombstone is sent twice where that is asked for': {
    waiting: gone(20n),
    known: known(grave.fingerprint, 10n),
    graves: true,
    force: true,
    verdict: buried(20n),
  },
  'a tombstone is not sent for a delete before what was accepted': {
    waiting: gone(5n),
    known: known('A', 10n),
    graves: true,
    verdict: toRead,
  },
  'a row that comes back after its tombstone is sent': {
    waiting: row('A', 20n),
    known: known(grave.fingerprint, 10n),
    graves: true,
    verdict: send(row('A', 20n)),
  },

  'in doubt: a tombstone is sent for what only may have got through': {
    waiting: gone(20n),
    known: null,
    graves: true,
    inDoubt: true,
    verdict: buried(20n),
  },
  'in doubt: a tombstone is sent for what was parked and only may have got through': {
    waiting: gone(20n),
    known: neverAccepted,
    graves: true,
    inDoubt: true,
    verdict: buried(20n),
  },
  'in doubt, and no tombstone: what was accepted is forgotten, so that the row is sent should it come back': {
    waiting: gone(20n),
    known: known('A', 10n),
    inDoubt: true,
    verdict: { kind: 'forget' },
  },
  'in doubt, and no tombstone: nothing to forget': { waiting: gone(20n), known: null, inDoubt: true, verdict: settle },
  'in doubt, and no tombstone: the row of a parked object that was never accepted': {
    waiting: gone(20n),
    known: neverAccepted,
    inDoubt: true,
    verdict: { kind: 'unpark' },
  },
  'replayed: a newer content may be outdated, the row is read': {
    waiting: row('B', 20n),
    known: known('A', 10n),
    replayed: true,
    verdict: toRead,
  },
  'replayed: what was accepted is not sent again': {
    waiting: row('A', 20n),
    known: known('A', 10n),
    replayed: true,
    verdict: settle,
  },
  'replayed: what was read is sent even if it is what was accepted': {
    waiting: row('A', 20n, 'read'),
    known: known('A', 10n),
    replayed: true,
    verdict: send(row('A', 20n, 'read')),
  },
  'replayed: a row that is gone is read': {
    waiting: gone(20n),
    known: null,
    graves: true,
    replayed: true,
    verdict: toRead,
  },
  'replayed: a row that is gone indeed gets a tombstone, even if nothing is known of it': {
    waiting: gone(20n, 'read'),
    known: null,
    graves: true,
    replayed: true,
    verdict: buried(20n, 'read'),
  },

  'a change without content is read': { waiting: { kind: 'unread' }, known: known('A', 10n), verdict: toRead },
  'an invalid object is parked': {
    waiting: { kind: 'invalid', error: refusal },
    known: null,
    verdict: { kind: 'park', error: refusal },
  },
  'a key of a table that does not fit is kept': {
    waiting: { kind: 'unfit' },
    known: null,
    verdict: { kind: 'defer', what: 'key' },
  },
  'a key that is none any more marks the table': {
    waiting: { kind: 'lost' },
    known: known('A', 10n),
    verdict: { kind: 'defer', what: 'table' },
  },
  'nothing waits, nothing to do': { waiting: null, known: known('A', 10n), verdict: settle },
}

describe('what to do with an object', () => {
  test.each(Object.entries(cases))('%s', (_, { waiting, known, verdict, ...more }) => {
    const { force = false, graves = false, inDoubt = false, replayed = false } = more
    const slot = new ObjectSlot(graves ? { ...origin, tombstone } : origin, '1')
    if (waiting !== null) {
      const ticket = { settle: () => {} }
      slot.take({ origin, id: '1', key: null, content: waiting, ticket, force, replayed })
    }
    slot.inDoubt = inDoubt
    slot.known = known
    expect(judge(slot)).toEqual(verdict)
  })
})
