import type { ParkingSettings } from '../config/resolved.js'
import type { SyncError } from '../errors.js'
import type { EventSink } from '../events.js'
import type { Logger } from '../logger.js'
import type { Backlog } from './backlog.js'
import type { Verdict } from './judge.js'
import type { Lane } from './lane.js'
import { park } from './parking.js'
import type { KnownObject, LedgerPort, Receipt, Records, SpillPort, Ticket } from './ports.js'
import { Recorder } from './recorder.js'
import type { ObjectSlot } from './slot.js'

/** What ends a state without a request. */
export type Conclusion = Exclude<Verdict, { readonly kind: 'send' | 'read' | 'park' }>

interface OutcomesOptions {
  readonly ledger: LedgerPort
  readonly parking: ParkingSettings
  readonly backlog: Backlog
  readonly events: EventSink | undefined
  readonly logger: Logger
  readonly random: () => number
  /** Another state of an object waits, and no step is under way for it. */
  readonly onNext: (lane: Lane, slot: ObjectSlot) => void
}

/** Writes down what became of the states of objects, and settles their tickets once that is durable. */
export class Outcomes {
  readonly counts = { accepted: 0, unchanged: 0, parked: 0, gone: 0, deferred: 0 }
  readonly #options: OutcomesOptions
  readonly #recorder: Recorder

  constructor(options: OutcomesOptions) {
    this.#options = options
    const { ledger, logger, random } = options
    this.#recorder = new Recorder({ ledger, logger, random })
  }

  /** Whether something was given up, of what the API may have accepted. */
  get hasGivenUp(): boolean {
    return this.#recorder.hasGivenUp
  }

  /** Resolves when all is durable, or given up. */
  idle(): Promise<void> {
    return this.#recorder.idle()
  }

  abandon(): void {
    this.#recorder.abandon()
  }

  /** The API has taken a batch. */
  accepted(lane: Lane, batch: readonly ObjectSlot[], requestId: string): void {
    const receipt: Receipt = { namespace: lane.namespace, requestId, acceptedAt: new Date(), objects: batch }
    this.#recorder.record({ receipts: [receipt] }, batch.length, () => {
      this.counts.accepted += batch.length
      for (const slot of batch) {
        if (slot.sending === null) continue
        const { fingerprint, lsn } = slot.sending
        slot.known = { state: 'accepted', requestId, fingerprint, lsn, attempts: 0 }
        slot.failures = 0
        slot.inDoubt = false
        if (lane.inDoubt.size > 0) lane.inDoubt.delete(slot.id)
        this.#finish(lane, slot)
      }
      this.#tellAccepted(receipt)
    })
  }

  /** The waiting state is refused, by the API or before it could be sent. */
  parked(lane: Lane, slot: ObjectSlot, error: SyncError, status: number | null): void {
    const { parking, logger, events } = this.#options
    const { parked, known } = park(lane.namespace, slot, { error, status }, parking)
    const { namespace, source, attempts, retryAt } = parked
    const { state } = known
    const told = { namespace, source, state, code: error.code, status, attempts }
    logger.warn('An object was refused and parked', told)
    this.counts.parked += 1
    slot.failures = 0
    this.#record(lane, slot, { parked: [parked] }, known, () => {
      const { code, message } = error
      const facts = { namespace, objectId: slot.id, state, error: { code, status, message }, retryAt }
      events?.emit('parked', facts)
    })
  }

  /** The waiting state needs no request. */
  conclude(lane: Lane, slot: ObjectSlot, verdict: Conclusion): void {
    switch (verdict.kind) {
      case 'settle':
        this.counts.unchanged += 1
        slot.begin()
        if (lane.inDoubt.size > 0) lane.inDoubt.delete(slot.id)
        this.#finish(lane, slot)
        break
      case 'unpark': {
        this.counts.gone += 1
        const unparked = [{ namespace: lane.namespace, id: slot.id }]
        const known: KnownObject | null = slot.known?.requestId == null ? null : { ...slot.known, state: 'accepted' }
        this.#record(lane, slot, { unparked }, known)
        break
      }
      case 'forget': {
        this.counts.gone += 1
        const unparked = [{ namespace: lane.namespace, id: slot.id, forget: true }]
        slot.inDoubt = false
        lane.inDoubt.delete(slot.id)
        const known: KnownObject | null =
          slot.known == null ? null : { ...slot.known, state: 'accepted', fingerprint: null }
        this.#record(lane, slot, { unparked }, known)
        break
      }
      case 'defer': {
        this.counts.deferred += 1
        const key = verdict.what === 'key' ? slot.key() : null
        const force = key !== null && (slot.force || slot.replayed || slot.inDoubt)
        const deferred = [{ source: slot.origin.source, key, force }]
        this.#record(lane, slot, { deferred }, slot.known ?? null)
      }
    }
  }

  /** The waiting state is not delivered now: its key is kept in `dirty`. */
  keep(lane: Lane, slot: ObjectSlot, spill: SpillPort): void {
    spill.kept()
    this.counts.deferred += 1
    const doubted = slot.replayed || (slot.inDoubt && !slot.doubtKept)
    const deferred = [{ source: slot.origin.source, key: slot.key(), force: slot.force || doubted }]
    if (doubted) {
      lane.inDoubt.add(slot.id)
      slot.doubtKept = true
    }
    slot.begin()
    this.#options.backlog.count(slot)
    this.#recorder.record({ deferred }, 1, () => {
      if (doubted) void spill.doubtKeys().then(() => this.#finish(lane, slot))
      else this.#finish(lane, slot)
    })
  }

  /** Marks a whole table for a scan. */
  mark(source: string, tickets: readonly Ticket[]): void {
    this.#recorder.record({ deferred: [{ source, key: null, force: false }] }, 1, () => {
      for (const ticket of tickets) ticket.settle()
    })
  }

  #tellAccepted({ namespace, requestId, acceptedAt, objects }: Receipt): void {
    const { events } = this.#options
    if (events?.has('accepted') !== true) return
    events.emit('accepted', { namespace, requestId, objectIds: objects.map(({ id }) => id), acceptedAt })
  }

  /** Records what became of the waiting state, without a request. */
  #record(
    lane: Lane,
    slot: ObjectSlot,
    records: Partial<Records>,
    known: KnownObject | null,
    onDurable?: () => void,
  ): void {
    slot.begin()
    this.#options.backlog.count(slot)
    this.#recorder.record(records, 1, () => {
      slot.known = known
      this.#finish(lane, slot)
      onDurable?.()
    })
  }

  /** Settles the state that was under way; what arrived meanwhile is next. */
  #finish(lane: Lane, slot: ObjectSlot): void {
    const { backlog, onNext } = this.#options
    const tickets = slot.finish()
    if (slot.waiting === null) {
      lane.slots.delete(slot.id)
      if (lane.slots.size === 0) lane.emptied()
      backlog.release(slot)
    } else {
      backlog.count(slot)
      onNext(lane, slot)
    }
    for (const ticket of tickets) ticket.settle()
  }
}
