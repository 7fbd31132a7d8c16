import { SyncError } from '../errors.js'
import { Backlog } from './backlog.js'
import type { DispatchCounts, DispatchOptions } from './dispatch-options.js'
import { Gather } from './gather.js'
import { judge } from './judge.js'
import type { Lane } from './lane.js'
import { Outcomes } from './outcomes.js'
import type { Arrival, DeferredKey, Origin, Ticket } from './ports.js'
import { Queries } from './queries.js'
import { RowReads } from './row-reads.js'
import { Sender } from './sender.js'
import { type ObjectContent, ObjectSlot } from './slot.js'

/** Keys looked up in the ledger in one query. */
const maxLookup = 1_000

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
  readonly #sender: Sender
  readonly #outcomes: Outcomes
  readonly #lookups: Gather<Lane, ObjectSlot>
  readonly #reads: RowReads
  readonly #marks: Gather<string, Ticket>
  readonly #queries: Queries
  readonly #backlog: Backlog
  #stopped = false

  constructor(options: DispatchOptions) {
    this.#options = options
    this.#now = options.nowMs ?? (() => performance.now())
    const random = options.random ?? Math.random
    const { client, delivery, beforeSend, isHeld, mayRecord, ledger, parking, events, logger } = options
    this.#sender = new Sender(
      { client, settings: delivery, beforeSend, isHeld, mayRecord, logger, nowMs: this.#now, random },
      {
        accepted: (lane, batch, requestId) => this.#outcomes.accepted(lane, batch, requestId),
        refused: (lane, slot, error, status) => this.#refused(lane, slot, error, status),
        returned: (lane, slot, options) => {
          this.#takeBack(lane, slot, options)
          this.#proceed(lane, slot)
        },
        unauthorized: (error) => options.onUnauthorized(error),
      },
    )
    const backlog = new Backlog({ onWalBytes: options.onPendingBytes, readyBytes: () => this.#sender.readyBytes })
    this.#backlog = backlog
    const onNext = (lane: Lane, slot: ObjectSlot): void => this.#proceed(lane, slot)
    this.#outcomes = new Outcomes({ ledger, parking, backlog, events, logger, random, onNext })
    this.#queries = new Queries({ logger, random })
    const lookUp = (lane: Lane, slots: readonly ObjectSlot[]) => this.#lookUp(lane, slots)
    this.#lookups = new Gather(() => maxLookup, lookUp)
    this.#reads = new RowReads({
      readRows: options.readRows,
      queries: this.#queries,
      room: ({ namespace }) => this.#backlog.room(() => this.#sender.lane(namespace).readyBytes),
      onRead: (slot, content) => {
        slot.handBackRead(content)
        this.#backlog.count(slot)
        this.#proceed(this.#sender.lane(slot.origin.namespace), slot)
      },
    })
    this.#marks = new Gather(
      () => Number.POSITIVE_INFINITY,
      async (source, tickets) => this.#outcomes.mark(source, tickets),
    )
  }

  /** Memory held by what waits or is in flight, about. */
  get pendingBytes(): number {
    return this.#backlog.bytes
  }

  /** As much of it as is held of changes that stand nowhere but in the WAL. */
  get walBytes(): number {
    return this.#backlog.walBytes
  }

  get counts(): DispatchCounts {
    return { ...this.#sender.counts, ...this.#outcomes.counts }
  }

  /** Requests in flight now, and how many there may be. */
  get concurrency(): { readonly inFlight: number; readonly limit: number } {
    return { inFlight: this.#sender.inFlight, limit: this.#sender.limit }
  }

  /** How each namespace gets on. */
  get lanes(): Iterable<Pick<Lane, 'namespace' | 'stuckSinceMs' | 'isCalm' | 'holdsWal'>> {
    return this.#sender.lanes()
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

  /** Whether something of this object waits here that stands nowhere but in the WAL: what comes next belongs behind it. */
  holdsWal({ namespace }: Origin, id: string): boolean {
    return this.#sender.lane(namespace).slots.get(id)?.holdsWal === true
  }

  /** Hands over what {@link SpillPort.keeps} is true for by now; what a step is under way for follows when it comes back. */
  handOver(): void {
    for (const lane of this.#sender.lanes()) {
      for (const slot of [...lane.slots.values()]) {
        if (!slot.holdsWal || this.#options.spill?.keeps(slot.origin) !== true) continue
        if (!slot.busy || this.#reads.withdraw(slot)) this.#proceed(lane, slot)
      }
    }
  }

  /** The API may have a state of this object that is not recorded, and its key was kept. */
  doubt({ namespace }: Origin, id: string): void {
    this.#sender.lane(namespace).inDoubt.add(id)
  }

  /** A change of this object was kept: what waits here to be sent, or comes back, is older, and read again. */
  renew(origin: Origin, id: string): void {
    const lane = this.#sender.lane(origin.namespace)
    const slot = lane.slots.get(id)
    if (slot?.busy) slot.outdated = true
    if (slot === undefined || slot.busy || slot.waiting === null || slot.waiting.kind === 'unread') return
    slot.waiting = { kind: 'unread' }
    this.#backlog.count(slot)
    this.#proceed(lane, slot)
  }

  /** What was held may be sent now. */
  release(): void {
    this.#sender.pumpSoon()
  }

  /** Gives up on the requests under way: what they held is sent again, once that may be. */
  giveUp(): void {
    this.#sender.giveUp()
  }

  /** The keys, with force, of what the API may have, or get, without a record of it. */
  underWay(): readonly DeferredKey[] {
    return [...this.#sender.lanes()].flatMap((lane) =>
      [...lane.slots.values()]
        .filter((slot) => slot.sending !== null || slot.inDoubt)
        .map((slot) => ({ source: slot.origin.source, key: slot.key(), force: true })),
    )
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
    await this.#outcomes.idle()
    return { inDoubt: this.#sender.inDoubt || this.#outcomes.hasGivenUp }
  }

  /** Gives up on a ledger that cannot be written: {@link stop} resolves, and what it did not take comes again. */
  abandon(): void {
    this.#outcomes.abandon()
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

  /** Decides the next step of an object that no step is under way for. */
  #proceed(lane: Lane, slot: ObjectSlot): void {
    const verdict = judge(slot)
    if (verdict.kind !== 'send') lane.remove(slot)
    switch (verdict.kind) {
      case 'send':
        if (!this.#kept(lane, slot)) this.#makeReady(lane, slot, verdict.content)
        break
      case 'read':
        if (!this.#kept(lane, slot)) this.#reads.add(slot)
        break
      case 'park':
        this.#outcomes.parked(lane, slot, verdict.error, null)
        break
      default:
        this.#outcomes.conclude(lane, slot, verdict)
    }
  }

  /** Where it is to be kept rather than delivered: the key stands for all that waits, also for each of several versions. */
  #kept(lane: Lane, slot: ObjectSlot): boolean {
    const { spill } = this.#options
    if (spill === undefined || !slot.holdsWal || !spill.keeps(slot.origin)) return false
    lane.remove(slot)
    slot.coalesce()
    this.#outcomes.keep(lane, slot, spill)
    return true
  }

  #makeReady(lane: Lane, slot: ObjectSlot, content: ObjectContent): void {
    if (content !== slot.waiting) {
      slot.waiting = content
      this.#backlog.count(slot)
    }
    const bytes = Buffer.byteLength(content.json)
    const most = this.#sender.maxObjectBytes
    if (bytes > most) {
      const hint = 'Map fewer or smaller columns, or raise delivery.maxBatchBytes as far as the API allows.'
      const words = `The object has ${bytes} bytes, a request holds ${most} at most`
      const error = new SyncError('OBJECT_TOO_LARGE', words, { hint })
      lane.remove(slot)
      this.#outcomes.parked(lane, slot, error, null)
    } else {
      lane.put(slot, bytes + 1, this.#now())
      this.#sender.pumpSoon()
    }
  }

  /** A newer state that replaces it has its own chance; else the object is parked. */
  #refused(lane: Lane, slot: ObjectSlot, error: SyncError, status: number | null): void {
    const superseded = slot.waiting !== null
    this.#takeBack(lane, slot, { ambiguous: status === null || status >= 500 })
    if (superseded) this.#proceed(lane, slot)
    else this.#outcomes.parked(lane, slot, error, status)
  }

  /** If the API may have what was sent, whatever comes next must not be taken for unchanged. */
  #takeBack(lane: Lane, slot: ObjectSlot, { ambiguous }: { readonly ambiguous: boolean }): void {
    const { sending } = slot
    if (sending === null) return
    if (ambiguous) {
      slot.inDoubt = true
      slot.doubtKept = false
      lane.inDoubt.add(slot.id)
    }
    slot.handBack(sending, { force: ambiguous })
    this.#backlog.count(slot)
  }
}
