import type { Dispatcher } from '../../delivery/dispatch.js'
import type { DispatchCounts } from '../../delivery/dispatch-options.js'
import type { Arrival, Ticket } from '../../delivery/ports.js'
import { partitions } from '../../ledger/leases.js'
import type { Lsn } from '../../lsn.js'
import { DirtyKeys } from '../dirty-keys.js'
import { aborted, type EngineLoad, loadOf, openDispatcher, type Parts } from '../engine.js'
import type { LiveState } from '../live-state.js'
import { ParkedObjects } from '../parked-objects.js'
import { followRequests } from '../results.js'
import { Scanner } from '../scan/scanner.js'
import { sendAgain } from '../send-again.js'
import type { Doubts } from './doubts.js'
import { Intake } from './intake.js'
import type { SlotLease } from './slot-lease.js'
import { SlotStream } from './slot-stream.js'
import { Spill } from './spill.js'
import { untilSettled } from './until-settled.js'
import { WalChanges } from './wal-changes.js'

const allPartitions = { partitions: Array.from({ length: partitions }, (_, number) => number), wanting: false }
const noPartitions = { partitions: [], wanting: false }

interface SlotReaderOptions {
  readonly parts: Parts
  readonly state: LiveState
  readonly lease: SlotLease
  readonly doubts: Doubts
  /** How far the slot may have been confirmed, as the ledger has it; 0 where it does not know. */
  readonly ackMarked: Lsn
}

/**
 * One process that reads the slot, from when it has found it free until it ends, or another process has taken the slot over.
 * Whoever reads from the slot is alone, and so works all the keys in `dirty` as well.
 */
export class SlotReader {
  readonly #parts: Parts
  readonly #state: LiveState
  readonly #lease: SlotLease
  readonly #doubts: Doubts
  readonly #dispatcher: Dispatcher
  readonly #spill: Spill
  readonly #changes: WalChanges
  readonly #intake: Intake
  /** Aborted when the slot is another process' own. */
  readonly #displaced = new AbortController()
  /** Aborted when it is left to whoever can read it. */
  readonly #given = new AbortController()
  readonly #ackMarked: Lsn
  #stream: SlotStream | null = null
  #dirty: DirtyKeys | null = null
  readonly #spilledBefore: number

  constructor({ parts, state, lease, doubts, ackMarked }: SlotReaderOptions) {
    const { resolved, sources, ledger, databases, logger } = parts
    this.#parts = parts
    this.#state = state
    this.#lease = lease
    this.#doubts = doubts
    this.#ackMarked = ackMarked
    this.#spilledBefore = state.counts.spilledKeys
    this.#intake = new Intake({ maxPendingBytes: resolved.maxPendingBytes, stream: () => this.#stream })
    this.#spill = new Spill({
      settings: resolved.spill,
      slot: resolved.slot.name,
      db: databases.source,
      ledger,
      unsettled: () => this.#changes.unsettled,
      doubtKeys: () => doubts.coverWaiting(),
      onBytes: () => this.#regulate(),
      onState: (trouble) => state.spilling(trouble),
      logger,
    })
    this.#dispatcher = openDispatcher(parts, {
      beforeSend: (lsn) => {
        const covered = doubts.stream.cover(lsn)
        return covered === null ? lease.untilValid() : covered.then(() => lease.untilValid() ?? undefined)
      },
      mayRecord: () => lease.untilValid()?.then(() => !lease.lost.aborted) ?? !lease.lost.aborted,
      onPendingBytes: () => this.#regulate(),
      spill: this.#spill,
    })
    this.#changes = new WalChanges({
      sources,
      arrive: (arrival) => this.#spill.arrive(arrival),
      markTable: this.#markTable,
      replayedThrough: doubts.changesThrough,
      changes: parts.changes,
      logger,
    })
  }

  get counts(): DispatchCounts {
    return this.#dispatcher.counts
  }

  get load(): EngineLoad {
    return loadOf(this.#dispatcher, 0)
  }

  get confirmedLsn(): Lsn | null {
    return this.#stream?.confirmed ?? null
  }

  wake(): void {
    this.#dirty?.wake()
  }

  release(): void {
    this.#dispatcher.release()
  }

  abandon(): void {
    this.#dispatcher.abandon()
    this.#spill.abandon()
  }

  /** Until the pipeline's signal is aborted, or another process has the slot; then it ends in the order in which nothing is lost. */
  async run(): Promise<void> {
    const { resolved, sources, ledger, databases, signal, logger } = this.#parts
    const changes = this.#changes
    this.#spill.watch(this.#dispatcher)
    const stream = new SlotStream({
      parts: this.#parts,
      state: this.#state,
      lease: this.#lease,
      changes,
      ackMarked: this.#ackMarked,
      isPaused: () => this.#intake.isPaused,
      onStreaming: () => this.#dirty?.wake(),
      onDisplaced: () => this.#displaced.abort(),
      onUnreadable: () => this.#given.abort(),
    })
    this.#stream = stream
    const dirty = new DirtyKeys({
      pool: databases.ledger,
      schema: resolved.schema,
      sources,
      doubts: this.#doubts,
      // Before it has the slot, or without its connection, another process may be the one that sends.
      attend: async () => (stream.isStreaming && this.#lease.valid ? allPartitions : noPartitions),
      arrive: this.#arrive,
      markTable: this.#markTable,
      changes: this.#parts.changes,
      logger,
    })
    this.#dirty = dirty
    const parked = new ParkedObjects({ ledger, sources, onDue: () => dirty.wake(), logger })
    const scanner = new Scanner({
      db: databases.source,
      ledger: databases.ledger,
      schema: resolved.schema,
      sources,
      // Whoever reads from the slot is alone.
      lease: { acquire: async () => true, holds: () => this.#lease.valid, release: async () => {} },
      before: (_, scanSignal) =>
        untilSettled({ changes, db: databases.source, isMending: () => stream.isMending }, scanSignal),
      onKeys: () => dirty.wake(),
      everyMs: resolved.scan.everyMs,
      changes: this.#parts.changes,
      logger,
    })
    const results = followRequests(this.#parts, () => dirty.wake())
    this.#lease.onExpired(() => this.#dispatcher.giveUp())
    this.#lease.lost.addEventListener('abort', () => this.#displaced.abort(), { once: true })
    if (this.#lease.lost.aborted) this.#displaced.abort()
    await aborted(AbortSignal.any([signal, this.#displaced.signal, this.#given.signal]))
    // A process that was frozen may be told to end before it learns that another one has taken over.
    if (!this.#lease.valid) await this.#lease.renew()

    stream.rest()
    await Promise.all([dirty.stop(), parked.stop(), scanner.stop(), results.stop()])
    const underWay = this.#dispatcher.underWay()
    // Nothing is sent from here on. Before the lease lets go of what waits for it: it may be another process' by now.
    const stopped = this.#dispatcher.stop()
    this.#lease.end()
    if (this.#displaced.signal.aborted) this.#dispatcher.giveUp()
    const { inDoubt } = await stopped
    // And again: it may have been frozen while it waited for answers.
    if (!this.#lease.valid) await this.#lease.renew()
    const isOurs = this.#lease.valid && !this.#displaced.signal.aborted
    await this.#spill.stop()
    try {
      await dirty.flush()
      // Else the marks are those of the process that has the slot now.
      if (isOurs && !inDoubt) await this.#doubts.clear(changes.settledThrough)
    } catch (error) {
      logger.warn('What is settled could not be noted; it is found unchanged when it comes again', { error })
    }
    await stream.stop({ displaced: !isOurs })
    if (!isOurs) await sendAgain(this.#parts, underWay)
  }

  readonly #arrive = (arrival: Arrival): void => this.#dispatcher.arrive(arrival)

  readonly #markTable = (source: string, ticket: Ticket): void => this.#dispatcher.markTable(source, ticket)

  #regulate(): void {
    const bytes = this.#dispatcher.walBytes + this.#spill.bytes
    this.#state.counts.spilledKeys = this.#spilledBefore + this.#spill.keys
    this.#intake.regulate(bytes)
    // Drained: what is confirmed need not wait for the timer.
    if (bytes === 0) this.#stream?.flushAcks()
  }
}
