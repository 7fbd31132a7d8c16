import type { ParkingSettings } from '../config/resolved.js'
import type { SyncError } from '../errors.js'
import type { KnownObject, ParkedObject } from './ports.js'
import type { ObjectSlot } from './slot.js'

interface Refusal {
  readonly error: SyncError
  /** The API's status, where it answered. */
  readonly status: number | null
}

/** An object that was refused: when it is tried again, if ever, and what is known of it from then on. */
export function park(
  namespace: string,
  slot: ObjectSlot,
  { error, status }: Refusal,
  settings: ParkingSettings,
): { readonly parked: ParkedObject; readonly known: KnownObject & { readonly state: 'parked' | 'dead' } } {
  const attempts = (slot.known?.state === 'parked' ? slot.known.attempts : 0) + 1
  const waitMs = settings.retryAfterMs[attempts - 1]
  const retryAt = waitMs === undefined ? null : new Date(Date.now() + waitMs)
  const before = slot.known ?? { requestId: null, fingerprint: null, lsn: null }
  const { source } = slot.origin
  const fingerprint = slot.waiting?.kind === 'object' ? slot.waiting.fingerprint : undefined
  const inDoubt = slot.inDoubt || slot.force || slot.replayed
  return {
    parked: { namespace, id: slot.id, source, key: slot.key(), error, status, attempts, fingerprint, retryAt, inDoubt },
    known: { ...before, state: retryAt === null ? 'dead' : 'parked', attempts },
  }
}
