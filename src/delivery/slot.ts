import type { RowKey } from '../capture/change.js'
import { SyncError } from '../errors.js'
import type { Lsn } from '../lsn.js'
import type { Arrival, Content, KnownObject, Origin, Ticket } from './ports.js'
import { Versions } from './versions.js'

export type ObjectContent = Extract<Content, { kind: 'object' }>

/** What an object costs beside its JSON: the slot, its id, its entries in maps. Measured at about 300 bytes. */
const slotBytes = 300
/** A ticket that waits: an array element and its share of a transaction. */
const ticketBytes = 16

/** Shared by all that have none; never pushed to. */
const noTickets: Ticket[] = []

/**
 * The place of one object, (namespace, id), while anything of it is waiting or in flight. It holds at most one state
 * that waits (newer ones replace it, or queue up behind it where each version is sent) and one that is being sent, so that
 * an object is never in two requests.
 */
export class ObjectSlot {
  readonly origin: Origin
  readonly id: string
  /** What the ledger knew when it was asked, and what was recorded since; `undefined` before it was asked. */
  known: KnownObject | null | undefined = undefined
  /** The newest state that is not being sent. */
  waiting: Content | null = null
  /** The waiting state is sent even if it is what was accepted. */
  force = false
  /** The API may have a state of it that is not recorded. */
  inDoubt = false
  /** A key that says so with force stands in `dirty`: those after it need not. */
  doubtKept = false
  tickets: Ticket[] = noTickets
  sending: ObjectContent | null = null
  /** Whether a step (look-up, read, request, record) is under way; what arrives meanwhile waits for its end. */
  busy = false
  /** What a step has under way is older than a change that was kept: where it comes back, the row is read. */
  outdated = false
  /** As much of {@link ObjectSlot.bytes} as the dispatcher has counted. */
  countedBytes = 0
  /** As much of it as the WAL is kept for. */
  countedWalBytes = 0
  /** Since when it could be sent. */
  readySinceMs = 0
  /** Requests in a row that held this object and failed in a way that is retried. */
  failures = 0
  firstFailureMs = 0
  /** Of these failures, those that speak against the object; see `Lane.blames`. */
  failuresAmongSuccesses = 0
  /** Of the state that a step has under way; `null` where none is. */
  #begunTickets: Ticket[] | null = null
  #begunForce = false
  #begunReplayed = false
  #begunHoldsWal = false
  #begunVersion: Lsn | null = null
  /** An earlier process may have sent the waiting state, or one that it has replaced. */
  #replayed = false
  /** Some of the waiting state stands nowhere but in the WAL. */
  #holdsWal = false
  /** Where each version is sent: the position of the one that waits; `null` where it is a hint. */
  #version: Lsn | null = null
  /** What comes after the waiting state, where each version is sent. */
  readonly #versions: Versions | null
  #key: RowKey | null = null

  constructor(origin: Origin, id: string) {
    this.origin = origin
    this.id = id
    this.#versions = origin.every === true ? new Versions() : null
  }

  /** Takes a newer state in; see {@link Arrival} for what `replayed` guards against. */
  take(arrival: Arrival): void {
    if (this.#versions === null || (this.waiting === null && this.#begunTickets === null)) this.#takeIn(arrival)
    else this.#versions.add(arrival)
  }

  /** Takes in all that is queued, as where only the newest version is sent. Returns how many versions that leaves out. */
  coalesce(): number {
    const left = this.#versions?.length ?? 0
    for (const arrival of this.#versions?.all() ?? []) this.#takeIn(arrival)
    return left
  }

  #takeIn(arrival: Arrival): void {
    const { content, ticket } = arrival
    const before = this.waiting
    if (arrival.key !== null) this.#key = arrival.key
    // An array that is made full takes a fifth of one that is pushed to.
    if (this.tickets.length === 0) this.tickets = [ticket]
    else this.tickets.push(ticket)
    if (ticket.kept !== true) {
      this.#holdsWal = true
      this.#version = 'lsn' in content ? (content.lsn ?? null) : null
    }
    this.force ||= arrival.force
    if (this.#mayBeAnotherState(arrival)) {
      this.force = true
      this.inDoubt = true
    }
    this.waiting = before === null ? content : newer(before, content)
    this.#replayed ||= arrival.replayed
  }

  /** Whether an earlier process may have sent another state than this one without recording it. */
  #mayBeAnotherState({ content, replayed }: Arrival): boolean {
    if (this.waiting !== null) return (replayed || this.#replayed) && !sameContent(this.waiting, content)
    if (replayed && content.kind === 'unread') return true
    if (this.#begunTickets === null || !(replayed || this.#begunReplayed)) return false
    return this.sending === null || !sameContent(this.sending, content)
  }

  /** The waiting state is being dealt with: what arrives from here on is not covered by it. */
  begin(): void {
    this.#begunTickets = this.tickets
    this.#begunForce = this.force
    this.#begunReplayed = this.#replayed
    this.#begunHoldsWal = this.#holdsWal
    this.#begunVersion = this.#version
    this.busy = true
    this.waiting = null
    this.tickets = noTickets
    this.force = false
    this.#replayed = false
    this.#holdsWal = false
    this.#version = null
  }

  /** The step is done with its state; the next one, if any, is waiting. Returns the tickets to settle. */
  finish(): readonly Ticket[] {
    const tickets = this.#begunTickets ?? noTickets
    this.#end()
    if (this.waiting === null) this.#takeNext()
    return tickets
  }

  /** What was read of the row. */
  handBackRead(content: Content): void {
    const versions = this.#versions
    if (versions === null) {
      this.handBack(content, { force: false })
    } else if (this.#begunVersion !== null) {
      // The version of which the WAL did not hold all: what was read is in its place, before those that wait.
      const lsn = this.#begunVersion
      const read = content.kind === 'object' || content.kind === 'gone' ? { ...content, lsn } : content
      this.handBack(read, { force: false })
      this.#version = lsn
    } else if (versions.length === 0) {
      // A transaction that was open meanwhile may bring a version from before the read that the read did not see: what is
      // recorded is never later than the last version that came.
      const lsn = this.known?.lsn ?? null
      const read = content.kind === 'object' || content.kind === 'gone' ? { ...content, lsn } : content
      this.handBack(read, { force: false })
    } else {
      const { origin, id } = this
      const hint = { origin, id, key: this.#key, content: { kind: 'unread' } as const }
      const flags = { force: this.#begunForce, replayed: this.#begunReplayed }
      for (const ticket of this.#begunTickets ?? noTickets) versions.add({ ...hint, ...flags, ticket })
      this.#end()
      this.#takeNext()
    }
  }

  /** The step hands back a state (what was read, or what did not get through); a newer one that arrived may replace it. */
  handBack(content: Content, options: { readonly force: boolean }): void {
    const begun = this.#begunTickets
    const arrived = this.waiting
    this.waiting = arrived === null ? content : newer(content, arrived)
    this.tickets = begun === null ? this.tickets : begun.concat(this.tickets)
    this.force ||= options.force || (begun !== null && this.#begunForce)
    this.#replayed ||= begun !== null && this.#begunReplayed
    this.#holdsWal ||= begun !== null && this.#begunHoldsWal
    this.#version ??= this.#begunVersion
    this.#end()
  }

  #end(): void {
    this.#begunTickets = null
    this.#begunHoldsWal = false
    this.#begunVersion = null
    this.sending = null
    this.busy = false
    if (!this.outdated) return
    this.outdated = false
    if (this.waiting !== null && !this.holdsWal) this.waiting = { kind: 'unread' }
  }

  #takeNext(): void {
    for (const arrival of this.#versions?.next() ?? []) this.#takeIn(arrival)
  }

  /** Whether something of it stands nowhere but in the WAL. */
  get holdsWal(): boolean {
    return this.#holdsWal || this.#begunHoldsWal || (this.#versions?.length ?? 0) > 0
  }

  get replayed(): boolean {
    return this.#replayed
  }

  get source(): string {
    return this.origin.source
  }

  /** The key of the row, as `dirty` holds it. */
  key(): RowKey {
    const key = this.#key ?? this.origin.keyOf?.(this.id)
    if (key === undefined) throw new SyncError('INTERNAL', `An object of ${this.origin.source} came without its key`)
    return key
  }

  /** The memory it holds, about. */
  bytes(): number {
    const json = (this.waiting?.kind === 'object' ? this.waiting.json.length : 0) + (this.sending?.json.length ?? 0)
    const tickets = this.tickets.length + (this.#begunTickets?.length ?? 0)
    return slotBytes + json + ticketBytes * tickets + (this.#versions?.bytes ?? 0)
  }
}

const sameContent = (a: Content, b: Content): boolean =>
  a.kind === 'object' ? b.kind === 'object' && a.fingerprint === b.fingerprint : a.kind === 'gone' && b.kind === 'gone'

/**
 * Of two states of one object, the one to send.
 *
 * | before | after | newer is |
 * |---|---|---|
 * | unread, or any | any, or unread | unread: a read is always the newest |
 * | from the WAL | from the WAL, at an earlier position (it came again) | before |
 * | from a read | from the WAL, at an earlier position | unknown (it may have been open when the row was read): unread |
 * | any | anything else | after |
 */
function newer(before: Content, after: Content): Content {
  if (before.kind === 'unread' || after.kind === 'unread') return { kind: 'unread' }
  if (!('lsn' in before && 'lsn' in after) || before.lsn === null || after.lsn === null) return after
  if (after.by === 'read' || after.lsn >= before.lsn) return after
  return before.by === 'read' ? { kind: 'unread' } : before
}
