import type { SyncError } from '../errors.js'
import type { Content, KnownObject, Seen } from './ports.js'
import type { ObjectContent, ObjectSlot } from './slot.js'

/** What to do with an object's waiting state, given what is known of it. */
export type Verdict =
  | { readonly kind: 'send'; readonly content: ObjectContent }
  | { readonly kind: 'read' }
  /** Nothing to send: SafetyKit has it, or never had what is now gone. */
  | { readonly kind: 'settle' }
  /** The row of a parked object is gone: so is the reason to park it. */
  | { readonly kind: 'unpark' }
  /** The row is gone, and SafetyKit may have another state of it than the ledger says: whatever comes back is sent. */
  | { readonly kind: 'forget' }
  | { readonly kind: 'park'; readonly error: SyncError }
  /** Its key, or its whole table, is kept in `dirty`. */
  | { readonly kind: 'defer'; readonly what: 'key' | 'table' }

/** Pure: the promises "no needless evaluation" and "an older state never overtakes a newer one" are decided here. */
export function judge(slot: ObjectSlot): Verdict {
  const { waiting, origin } = slot
  const known = slot.known ?? null
  if (waiting === null || (origin.every === true && isRecorded(waiting, known))) return { kind: 'settle' }
  switch (waiting.kind) {
    case 'unread':
      return { kind: 'read' }
    case 'unfit':
      return { kind: 'defer', what: 'key' }
    case 'lost':
      return { kind: 'defer', what: 'table' }
    case 'invalid':
      return { kind: 'park', error: waiting.error }
    case 'object': {
      const unchanged = known?.state === 'accepted' && known.fingerprint === waiting.fingerprint
      if (unchanged && !isDoubted(slot, waiting)) return { kind: 'settle' }
      if (mayBeOutdated(slot, waiting, known)) return { kind: 'read' }
      return { kind: 'send', content: waiting }
    }
    case 'gone': {
      // Of what was refused: a key that is forced is of one that may have been accepted before (`ParkedObject.inDoubt`).
      const neverSent = known?.requestId == null && !slot.inDoubt && !slot.replayed && !(known !== null && slot.force)
      const grave = neverSent ? null : (origin.tombstone?.(slot.id) ?? null)
      const unchanged = grave !== null && known?.state === 'accepted' && known.fingerprint === grave.fingerprint
      if (unchanged && !isDoubted(slot, waiting)) return { kind: 'settle' }
      if (mayBeOutdated(slot, waiting, known)) return { kind: 'read' }
      if (grave === null) return { kind: withoutGrave(slot, known) }
      return { kind: 'send', content: { ...waiting, ...grave, kind: 'object' } }
    }
  }
}

function withoutGrave(slot: ObjectSlot, known: KnownObject | null): 'settle' | 'unpark' | 'forget' {
  if (known === null) return 'settle'
  const doubted = slot.inDoubt || slot.replayed
  if (doubted && known.requestId !== null && known.fingerprint !== null) return 'forget'
  return known.state === 'accepted' ? 'settle' : 'unpark'
}

/** Where each version is sent: one that came again, and was accepted or is older than what was. */
function isRecorded(waiting: Content, known: KnownObject | null): boolean {
  if (known === null || known.lsn === null) return false
  const ofWal =
    waiting.kind === 'unread' || ((waiting.kind === 'object' || waiting.kind === 'gone') && waiting.by === 'wal')
  return ofWal && waiting.lsn != null && waiting.lsn <= known.lsn
}

/** Whether SafetyKit may have something else than the ledger says: then what is unchanged is sent all the same. */
const isDoubted = (slot: ObjectSlot, seen: Seen): boolean => slot.force || (slot.replayed && seen.by === 'read')

/**
 * Whether a newer state may have been sent already; never where each version is sent. Older than what was accepted, it is a change that came again, or one
 * that a read of the row had seen; replayed, the process that died may have sent what came after it. The row knows.
 */
const mayBeOutdated = (slot: ObjectSlot, seen: Seen, known: KnownObject | null): boolean =>
  slot.origin.every !== true && seen.by === 'wal' && (slot.replayed || isOlder(seen, known))

const isOlder = (seen: Seen, known: KnownObject | null): boolean =>
  seen.lsn !== null && known !== null && known.lsn !== null && seen.lsn < known.lsn
