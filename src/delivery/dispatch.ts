import type { DeliverySettings, ParkingSettings } from '../config/resolved.js'
import { SyncError } from '../errors.js'
import type { EventSink } from '../events.js'
import type { Logger } from '../logger.js'
import { Backlog } from './backlog.js'
import type { SafetyKitClient } from './client.js'
import { Gather } from './gather.js'
import { judge } from './judge.js'
import type { Lane } from './lane.js'
import { park } from './parking.js'
import type { Arrival, Content, KnownObject, LedgerPort, Origin, ReadRows, Receipt, Records, Ticket } from './ports.js'
import { Queries } from './queries.js'
import { Recorder } from './recorder.js'
import { Sender, type SenderOptions } from './sender.js'
import { type ObjectContent, ObjectSlot } from './slot.js'

/** Keys looked up in the ledger, and rows read from a table, in one query. */
const maxLookup = 1_000
const maxRead = 200
/** What a read may weigh, about; rows are read in smaller groups where they turn out to be large. */
const maxReadBytes = 4 * 1024 * 1024

export interface DispatchOptions {
  readonly client: Pick<SafetyKitClient, 'add'>
  readonly ledger: LedgerPort
  readonly readRows: ReadRows
  readonly delivery: DeliverySettings
  readonly parking: ParkingSettings
  readonly beforeSend: SenderOptions['beforeSend']
  /** The key is wrong: nothing can be delivered, and nothing more is sent. */
  readonly onUnauthorized: (error: SyncError) => void
  /** Called after each change of {@link Dispatcher.pendingBytes}. */
  readonly onPendingBytes: (bytes: number) => void
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
}

/**
 * From changes of objects to settled tickets.
 *
 * An object's way: *arrive* → *look up* (what does the ledger know?) → *judge* → perhaps *read* the row → *ready* in its
 * namespace's lane → *send* in a batch → *record* → settled. One step at a time for one object; what arrives for it
 * meanwhile waits in its slot, so no object is ever in two requests and an older state never overtakes a newer one.
 */
export class Dispatcher {
  readonly #options: DispatchOptions
  readonly #now: () => number
  readonly #random: () => number
  readonly #sender: Sender
  readonly #recorder: Recorder
  readonly #lookups: Gather<Lane, ObjectSlot>
  readonly #reads: Gather<Origin, ObjectSlot>
  readonly #marks: Gather<string, Ticket>
  readonly #queries: Queries
  readonly #settled = { accepted: 0, unchanged: 0, parked: 0 }
  readonly #backlog: Backlog
  #rowBytes = maxReadBytes / 20
  #stopped = false

  constructor(options: DispatchOptions) {
    this.#options = options
    this.#now = options.nowMs ?? (() => performance.now())
    this.#random = options.random ?? Math.random
    const { client, delivery, beforeSend, ledger, logger } = options
    this.#sender = new Sender(
      { client, settings: delivery, beforeSend, logger, nowMs: this.#now, random: this.#random },
      {
        accepted: (lane, batch, requestId) => this.#accepted(lane, batch, requestId),
        refused: (lane, slot, error, status) => this.#refused(lane, slot, error, status),
        returned: (lane, slot, options) => {
          this.#takeBack(lane, slot, options)
          this.#proceed(lane, slot)
        },
        unauthorized: (error) => options.onUnauthorized(error),
      },
    )
    this.#backlog = new Backlog({ onBytes: options.onPendingBytes, readyBytes: () => this.#sender.readyBytes })
    this.#recorder = new Recorder({ ledger, logger, random: this.#random })
    this.#queries = new Queries({ logger, random: this.#random })
    this.#lookups = new Gather(
      () => maxLookup,
      (lane, slots) => this.#lookUp(lane, slots),
    )
    const readSize = () => Math.max(1, Math.min(maxRead, Math.floor(maxReadBytes / this.#rowBytes)))
    this.#reads = new Gather(readSize, (origin, slots) => this.#read(origin, slots))
    this.#marks = new Gather(
      () => Number.POSITIVE_INFINITY,
      (source, tickets) => this.#mark(source, tickets),
    )
  }

  /** Memory held by what waits or is in flight, about. */
  get pendingBytes(): number {
    return this.#backlog.bytes
  }

  get counts(): DispatchCounts {
    return { ...this.#sender.counts, ...this.#settled }
  }

  /** Requests in flight now, and how many there may be. */
  get concurrency(): { readonly inFlight: number; readonly limit: number } {
    return { inFlight: this.#sender.inFlight, limit: this.#sender.limit }
  }

  /** Takes a change. Its ticket is settled once the ledger has, durably, what became of it. */
  arrive(arrival: Arrival): void {
    if (this.#stopped) return
    const lane = this.#sender.lane(arrival.origin.namespace)
    let slot = lane.slots.get(arrival.id)
    if (slot === undefined) {
      slot = new ObjectSlot(arrival.origin, arrival.id)
      slot.inDoubt = lane.inDoubt.has(arrival.id)
      slot.force = slot.inDoubt
      lane.slots.set(arrival.id, slot)
      slot.busy = true
      this.#queries.track(this.#lookups.add(lane, slot))
    }
    slot.take(arrival)
    if (slot.inDoubt) lane.inDoubt.add(slot.id)
    this.#backlog.count(slot)
    if (!slot.busy) this.#proceed(lane, slot)
  }

  /** Takes a change of which not even the key is known: the whole table is marked for a scan. */
  markTable(source: string, ticket: Ticket): void {
    if (!this.#stopped) this.#queries.track(this.#marks.add(source, ticket))
  }

  /** Resolves once nothing waits and nothing is in flight. */
  idle(): Promise<void> {
    return this.#backlog.idle()
  }

  /**
   * Sends nothing more; resolves when what is in flight is answered and recorded. What waits stays unsettled. `inDoubt`:
   * the API may have something that could not be recorded.
   */
  async stop(): Promise<{ readonly inDoubt: boolean }> {
    this.#stopped = true
    this.#queries.stop()
    this.#backlog.stop()
    await this.#sender.halt()
    await this.#queries.idle()
    await this.#recorder.idle()
    return { inDoubt: this.#sender.inDoubt || this.#recorder.hasGivenUp }
  }

  /** Gives up on a ledger that cannot be written: {@link stop} resolves, and what it did not take comes again. */
  abandon(): void {
    this.#recorder.abandon()
  }

  async #lookUp(lane: Lane, slots: readonly ObjectSlot[]): Promise<void> {
    const ids = slots.map((slot) => slot.id)
    const lookup = () => this.#options.ledger.lookup(lane.namespace, ids)
    const known = await this.#queries.untilItWorks('The ledger could not be read', lookup)
    if (known === null) return
    for (const [index, slot] of slots.entries()) {
      slot.known = known[index] ?? null
      slot.busy = false
      this.#proceed(lane, slot)
    }
  }

  async #read(origin: Origin, slots: readonly ObjectSlot[]): Promise<void> {
    await this.#backlog.room()
    const lane = this.#sender.lane(origin.namespace)
    for (const slot of slots) slot.begin()
    const rows = slots.map((slot) => ({ id: slot.id, key: slot.key() }))
    const read = () => this.#options.readRows(origin, rows)
    const contents = await this.#queries.untilItWorks(`Rows of ${origin.source} could not be read`, read)
    if (contents === null) return
    const bytes = contents.reduce((sum, content) => sum + (content.kind === 'object' ? content.json.length : 0), 0)
    this.#rowBytes = Math.max(1, bytes / slots.length)
    for (const [index, slot] of slots.entries()) {
      const content = contents[index] ?? { kind: 'unread' }
      this.#handBack(slot, content, { force: false })
      this.#proceed(lane, slot)
    }
  }

  async #mark(source: string, tickets: readonly Ticket[]): Promise<void> {
    this.#recorder.record({ deferred: [{ source, key: null, force: false }] }, 1, () => {
      for (const ticket of tickets) ticket.settle()
    })
  }

  /** Decides the next step of an object that no step is under way for. */
  #proceed(lane: Lane, slot: ObjectSlot): void {
    const verdict = judge(slot)
    if (verdict.kind !== 'send') lane.remove(slot)
    switch (verdict.kind) {
      case 'send':
        this.#makeReady(lane, slot, verdict.content)
        break
      case 'read':
        slot.busy = true
        this.#queries.track(this.#reads.add(slot.origin, slot))
        break
      case 'settle':
        this.#settled.unchanged += 1
        slot.begin()
        if (lane.inDoubt.size > 0) lane.inDoubt.delete(slot.id)
        this.#finish(lane, slot)
        break
      case 'park':
        this.#park(lane, slot, verdict.error, null)
        break
      case 'unpark': {
        const unparked = [{ namespace: lane.namespace, id: slot.id }]
        const known: KnownObject | null = slot.known?.requestId == null ? null : { ...slot.known, state: 'accepted' }
        this.#record(lane, slot, { unparked }, known)
        break
      }
      case 'forget': {
        const unparked = [{ namespace: lane.namespace, id: slot.id, forget: true }]
        slot.inDoubt = false
        lane.inDoubt.delete(slot.id)
        const known: KnownObject | null =
          slot.known == null ? null : { ...slot.known, state: 'accepted', fingerprint: null }
        this.#record(lane, slot, { unparked }, known)
        break
      }
      case 'defer': {
        const key = verdict.what === 'key' ? slot.key() : null
        const force = key !== null && (slot.force || slot.replayed)
        const deferred = [{ source: slot.origin.source, key, force }]
        this.#record(lane, slot, { deferred }, slot.known ?? null)
      }
    }
  }

  #makeReady(lane: Lane, slot: ObjectSlot, content: ObjectContent): void {
    if (content !== slot.waiting) {
      slot.waiting = content
      this.#backlog.count(slot)
    }
    const bytes = Buffer.byteLength(content.json)
    const most = this.#sender.maxObjectBytes
    if (bytes > most) {
      const error = new SyncError(
        'OBJECT_TOO_LARGE',
        `The object has ${bytes} bytes, a request holds ${most} at most`,
        {
          hint: 'Map fewer or smaller columns, or raise delivery.maxBatchBytes as far as the API allows.',
        },
      )
      lane.remove(slot)
      this.#park(lane, slot, error, null)
    } else {
      lane.put(slot, bytes + 1, this.#now())
      this.#sender.pumpSoon()
    }
  }

  #accepted(lane: Lane, batch: readonly ObjectSlot[], requestId: string): void {
    const receipt: Receipt = { namespace: lane.namespace, requestId, acceptedAt: new Date(), objects: batch }
    this.#recorder.record({ receipts: [receipt] }, batch.length, () => {
      this.#settled.accepted += batch.length
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

  #tellAccepted({ namespace, requestId, acceptedAt, objects }: Receipt): void {
    const { events } = this.#options
    if (events?.has('accepted') !== true) return
    events.emit('accepted', { namespace, requestId, objectIds: objects.map(({ id }) => id), acceptedAt })
  }

  /** A newer state that waits has its own chance; else the object is parked. */
  #refused(lane: Lane, slot: ObjectSlot, error: SyncError, status: number | null): void {
    const superseded = slot.waiting !== null
    this.#takeBack(lane, slot, { ambiguous: status === null || status >= 500 })
    if (superseded) this.#proceed(lane, slot)
    else this.#park(lane, slot, error, status)
  }

  /** If the API may have what was sent, whatever comes next must not be taken for unchanged. */
  #takeBack(lane: Lane, slot: ObjectSlot, { ambiguous }: { readonly ambiguous: boolean }): void {
    const { sending } = slot
    if (sending === null) return
    if (ambiguous) {
      slot.inDoubt = true
      lane.inDoubt.add(slot.id)
    }
    this.#handBack(slot, sending, { force: ambiguous })
  }

  #handBack(slot: ObjectSlot, content: Content, options: { readonly force: boolean }): void {
    slot.handBack(content, options)
    this.#backlog.count(slot)
  }

  #park(lane: Lane, slot: ObjectSlot, error: SyncError, status: number | null): void {
    const { parked, known } = park(lane.namespace, slot, { error, status }, this.#options.parking)
    const { namespace, source, attempts, retryAt } = parked
    const { state } = known
    const told = { namespace, source, state, code: error.code, status, attempts }
    this.#options.logger.warn('An object was refused and parked', told)
    this.#settled.parked += 1
    slot.failures = 0
    this.#record(lane, slot, { parked: [parked] }, known, () => {
      const { code, message } = error
      const facts = { namespace, objectId: slot.id, state, error: { code, status, message }, retryAt }
      this.#options.events?.emit('parked', facts)
    })
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
    this.#backlog.count(slot)
    this.#recorder.record(records, 1, () => {
      slot.known = known
      this.#finish(lane, slot)
      onDurable?.()
    })
  }

  /** Settles the state that was under way; what arrived meanwhile is next. */
  #finish(lane: Lane, slot: ObjectSlot): void {
    const tickets = slot.finish()
    if (slot.waiting === null) {
      lane.slots.delete(slot.id)
      this.#backlog.release(slot)
    } else {
      this.#backlog.count(slot)
      this.#proceed(lane, slot)
    }
    for (const ticket of tickets) ticket.settle()
  }
}
