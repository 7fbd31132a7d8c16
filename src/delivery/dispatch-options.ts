import type { DeliverySettings, ParkingSettings } from '../config/resolved.js'
import type { SyncError } from '../errors.js'
import type { EventSink } from '../events.js'
import type { Logger } from '../logger.js'
import type { SafetyKitClient } from './client.js'
import type { LedgerPort, ReadRows, SpillPort } from './ports.js'
import type { SenderOptions } from './sender.js'

export interface DispatchOptions {
  readonly client: Pick<SafetyKitClient, 'add'>
  readonly ledger: LedgerPort
  readonly readRows: ReadRows
  readonly delivery: DeliverySettings
  readonly parking: ParkingSettings
  readonly beforeSend: SenderOptions['beforeSend']
  readonly isHeld?: SenderOptions['isHeld']
  readonly mayRecord?: SenderOptions['mayRecord']
  /** The key is wrong: nothing can be delivered, and nothing more is sent. */
  readonly onUnauthorized: (error: SyncError) => void
  /** Called after each change with the bytes that are held of changes that stand nowhere but in the WAL. */
  readonly onPendingBytes: (bytes: number) => void
  /** Default: all is delivered, however long that takes. */
  readonly spill?: SpillPort | undefined
  /** Told once the ledger has it. */
  readonly events?: EventSink | undefined
  readonly logger: Logger
  /** Milliseconds that never go back. Default: `performance.now`. */
  readonly nowMs?: () => number
  readonly random?: () => number
}

/** What was done, counted since the start. */
export interface DispatchCounts {
  readonly requests: number
  readonly retries: number
  readonly throttled: number
  readonly sentObjects: number
  readonly accepted: number
  readonly unchanged: number
  readonly parked: number
  /** The row is gone, and nothing was to be sent for it. */
  readonly gone: number
  /** Kept as keys in `dirty`. */
  readonly deferred: number
}
