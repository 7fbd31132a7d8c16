import type { SyncError } from '../errors.js'
import type { KnownObject, Seen } from './ports.js'
import type { ObjectContent, ObjectSlot } from './slot.js'

/** What to do with an object's waiting state, given what is known of it. */
export type Verdict =
  | { readonly kind: 'send'; readonly content: ObjectContent }
  | { readonly kind: 'read' }
  /** Nothing to send: SafetyKit has it, or never had what is now gone. */
  | { readonly kind: 'settle' }
  /** The row of a parked object is gone: so is the reason to park it. */
  | { readonly kind: 'unpark' }
  | { readonly kind: 'park'; readonly error: SyncError }
  /** Its key, or its whole table, is kept in `dirty`. */
  | { readonly kind: 'defer'; readonly what: 'key' | 'table' }

/** Pure: the promises "no needless evaluation" and "an older state never overtakes a newer one" are decided here. */
export function judge(slot: ObjectSlot): Verdict {
  const { waiting, origin } = slot
  const known = slot.known ?? null
  if (waiting === null) return { kind: 'settle' }
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
      if (unchanged && !slot.force) return { kind: 'settle' }
      // Older than what was accepted: a change that came again, or that a read of the row had already seen. The row knows.
      if (!unchanged && isOlder(waiting, known)) return { kind: 'read' }
      return { kind: 'send', content: waiting }
    }
    case 'gone': {
      if (isOlder(waiting, known)) return { kind: 'read' }
      const grave = known?.requestId == null ? null : (origin.tombstone?.(slot.id) ?? null)
      if (grave === null) return { kind: known === null || known.state === 'accepted' ? 'settle' : 'unpark' }
      const unchanged = known?.state === 'accepted' && known.fingerprint === grave.fingerprint
      if (unchanged && !slot.force) return { kind: 'settle' }
      return { kind: 'send', content: { ...waiting, ...grave, kind: 'object' } }
    }
  }
}

const isOlder = (seen: Seen, known: KnownObject | null): boolean =>
  seen.by === 'wal' && seen.lsn !== null && known !== null && known.lsn !== null && seen.lsn < known.lsn
