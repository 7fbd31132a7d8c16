import type { LedgerState } from '../../ledger/comparison.js'
import type { Mapped } from '../../mapping/mapping-plan.js'
import type { MappedObject } from '../../mapping/object.js'

/**
 * How an object stands to its row.
 *
 * - `in step`: what was accepted last is what the row says; or nothing was, and nothing is to be.
 * - `missing`: SafetyKit has never accepted anything of it.
 * - `different`: what was accepted last is something else.
 * - `parked`, `dead`: this very content was refused. A parked object is retried by its own clock, and a dead one was given
 *   up: to send it again is a person's decision, unless the row changes.
 */
export type Standing = 'in step' | 'missing' | 'different' | 'parked' | 'dead'

/** What a namespace should have of a row. */
export type Wanted =
  | { readonly kind: 'object'; readonly fingerprint: string }
  /** No row, or one that `where` does not select; with the fingerprint of the tombstone, where one is sent. */
  | { readonly kind: 'nothing'; readonly tombstone: string | null }
  /** The mapping fails on the row. */
  | { readonly kind: 'invalid' }

export function wantedOf(mapped: Mapped, tombstone: ((id: string) => MappedObject) | null): Wanted {
  if (mapped.kind === 'object') return { kind: 'object', fingerprint: mapped.fingerprint }
  if (mapped.kind !== 'excluded') return { kind: 'invalid' }
  return { kind: 'nothing', tombstone: tombstone?.(mapped.id).fingerprint ?? null }
}

/** The fingerprint that the ledger has where nothing is to be done. */
export const expectedOf = (wanted: Wanted): string | null =>
  wanted.kind === 'object' ? wanted.fingerprint : wanted.kind === 'nothing' ? wanted.tombstone : null

/** Pure: what the ledger knows, against what it should. */
export function standingOf(wanted: Wanted, known: LedgerState | null): Standing {
  if (known === null) return wanted.kind === 'nothing' ? 'in step' : 'missing'
  const expected = expectedOf(wanted)
  if (known.state === 'accepted') {
    if (wanted.kind === 'invalid') return 'different'
    if (expected === null) return 'in step'
    return known.fingerprint === expected ? 'in step' : 'different'
  }
  // Nothing is expected of it any more, so there is no reason to keep it refused.
  if (wanted.kind === 'nothing' && (expected === null || !known.known)) return 'different'
  return known.refused === expected ? known.state : 'different'
}

/** Whether its row is to be read and sent. */
export const isBehind = (standing: Standing): boolean => standing === 'missing' || standing === 'different'
