import type { RowKey } from '../capture/change.js'
import type { SyncError } from '../errors.js'
import type { Lsn } from '../lsn.js'
import type { MappedObject } from '../mapping/object.js'

/** Where a state was seen. */
export interface Seen {
  /**
   * From the WAL: the position of the change's record. Two changes of one row have them in their order, since the
   * second could only be written once the first was committed. From a read: a position after all that the read saw.
   */
  readonly lsn: Lsn | null
  readonly by: 'wal' | 'read'
}

/**
 * What is known of the newest state of a row, as one namespace sees it.
 *
 * - `object`: its content.
 * - `gone`: deleted, or no longer selected by `where`.
 * - `unread`: something changed; the row is read before it is sent. `lsn` is that of a change of which the WAL does not
 *   hold all.
 * - `invalid`: the mapping could not make an object of it; it is parked.
 * - `unfit`: the mapping names what the table no longer has; the key is kept in `dirty` until it fits again.
 * - `lost`: the key is none of the table's any more, so the whole table is marked for a scan.
 */
export type Content =
  | ({ readonly kind: 'object'; readonly json: string; readonly fingerprint: string } & Seen)
  | ({ readonly kind: 'gone' } & Seen)
  | { readonly kind: 'unread'; readonly lsn?: Lsn }
  | { readonly kind: 'invalid'; readonly error: SyncError }
  | { readonly kind: 'unfit' }
  | { readonly kind: 'lost' }

/** One mapping, as far as the delivery needs to know it. */
export interface Origin {
  readonly namespace: string
  /** The table, `schema.name`: what `objects.source` and `dirty.source` hold. */
  readonly source: string
  /** The key of the row behind an id, where the id alone tells it; else every arrival brings its key. */
  readonly keyOf: ((id: string) => RowKey) | null
  /** What is sent for a row that is gone; `null` where deletes are ignored. */
  readonly tombstone: ((id: string) => MappedObject) | null
  /** Each version that the WAL brings is sent, in its order, and none is left out for a newer one. Default: `false`. */
  readonly every?: boolean
}

/** Told once the ledger says, durably, what became of a change: accepted, unchanged, parked, or kept in `dirty`. */
export interface Ticket {
  /** The change stands in `dirty`, so that no WAL has to be kept for it. Default: `false`. */
  readonly kept?: boolean
  settle(): void
}

/** A change of one object, on its way to a namespace. */
export interface Arrival {
  readonly origin: Origin
  readonly id: string
  /** Needed where `origin.keyOf` is null. */
  readonly key: RowKey | null
  readonly content: Content
  readonly ticket: Ticket
  /** Send it even if the content is what was accepted. */
  readonly force: boolean
  /**
   * An earlier process may have come as far as this change and died. What it sent and could not record is not in the
   * ledger, so a state that replaces another here is sent even if the ledger says that it is unchanged.
   */
  readonly replayed: boolean
}

/** A row of `objects`: what SafetyKit is known to have. */
export interface KnownObject {
  readonly state: 'accepted' | 'parked' | 'dead'
  readonly requestId: string | null
  readonly fingerprint: string | null
  readonly lsn: Lsn | null
  readonly attempts: number
}

/** An accepted request and its objects, to be recorded. */
export interface Receipt {
  readonly namespace: string
  readonly requestId: string
  readonly acceptedAt: Date
  readonly objects: readonly ReceiptObject[]
}

export interface ReceiptObject {
  readonly id: string
  readonly source: string
  /** What was sent. */
  readonly sending: { readonly fingerprint: string; readonly lsn: Lsn | null } | null
  /** What was known when it was sent: where the ledger's row is no longer that, another process met us on the object. */
  readonly known: KnownObject | null | undefined
  key(): RowKey
}

/** An object that was refused and does not stand in the way of others. */
export interface ParkedObject {
  readonly namespace: string
  readonly id: string
  readonly source: string
  readonly key: RowKey
  readonly error: SyncError
  /** The API's status, where it answered. */
  readonly status: number | null
  readonly attempts: number
  /** Of the content that was refused; none where nothing could be made of the row. */
  readonly fingerprint?: string | undefined
  /** `null`: no further attempt, the object is dead. */
  readonly retryAt: Date | null
  /** SafetyKit may have a state of it that is not recorded: an attempt before this one was not answered. Default: `false`. */
  readonly inDoubt?: boolean
}

/** A key that waits in `dirty`. */
export interface DeferredKey {
  readonly source: string
  /** `null`: the whole table is to be scanned. */
  readonly key: RowKey | null
  readonly force: boolean
}

/** What one transaction of the ledger records. */
export interface Records {
  readonly receipts: readonly Receipt[]
  readonly parked: readonly ParkedObject[]
  readonly deferred: readonly DeferredKey[]
  /** Objects whose row is gone, without a tombstone: no reason to park them any more. */
  readonly unparked: readonly {
    readonly namespace: string
    readonly id: string
    /** SafetyKit may have another state than the one that is recorded: nothing that comes is unchanged. Default: `false`. */
    readonly forget?: boolean
  }[]
}

/** What the delivery asks of the ledger. */
export interface LedgerPort {
  /** What is known of each id, aligned with `ids`. */
  lookup(namespace: string, ids: readonly string[]): Promise<readonly (KnownObject | null)[]>
  /** Records in one transaction; resolves once it is durable. */
  record(records: Records): Promise<void>
}

/** Decides for which objects changes are kept as keys in `dirty`, since they cannot be delivered for now. */
export interface SpillPort {
  /** Asked whenever something of an object could be sent or read that only the WAL holds. */
  keeps(origin: Origin): boolean
  /** Told of each key that is handed over. */
  kept(): void
  /**
   * Resolves once a process that starts after this one was killed would know that what is in `dirty` by now may have been
   * sent without being recorded.
   */
  doubtKeys(): Promise<void>
}

/** Reads rows by key, as they are now: contents aligned with the keys, of any kind but `unread`. */
export type ReadRows = (
  origin: Origin,
  rows: readonly { readonly id: string; readonly key: RowKey }[],
) => Promise<readonly Content[]>
