import type { LogicalMessage } from '../../capture/replication/pgoutput-messages.js'
import { inspectSlot } from '../../capture/replication/slot.js'
import { openWalStream, type WalStream, type WalStreamStatus } from '../../capture/replication/wal-stream.js'
import type { WalConsumer } from '../../capture/replication/wal-stream-options.js'
import type { Dispatcher } from '../../delivery/dispatch.js'
import type { DispatchCounts } from '../../delivery/dispatch-options.js'
import type { Arrival, Ticket } from '../../delivery/ports.js'
import type { SyncError } from '../../errors.js'
import { partitions } from '../../ledger/leases.js'
import type { Lsn } from '../../lsn.js'
import { sessionSettingsSql } from '../../mapping/session.js'
import { DirtyKeys } from '../dirty-keys.js'
import { aborted, type EngineLoad, loadOf, openDispatcher, type Parts } from '../engine.js'
import type { LiveState } from '../live-state.js'
import { withClient } from '../migrate.js'
import { ParkedObjects } from '../parked-objects.js'
import { followRequests } from '../results.js'
import { Scanner } from '../scan/scanner.js'
import { sendAgain } from '../send-again.js'
import { AckGate } from './ack-gate.js'
import type { Doubts } from './doubts.js'
import { Intake } from './intake.js'
import { isLost, mendSlot } from './mend-slot.js'
import type { SlotLease } from './slot-lease.js'
import { Spill } from './spill.js'
import { untilSettled } from './until-settled.js'
import { WalChanges } from './wal-changes.js'
import { messagePrefix, WalHeartbeat } from './wal-heartbeat.js'

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
  readonly #gate: AckGate
  readonly #dispatcher: Dispatcher
  readonly #spill: Spill
  readonly #changes: WalChanges
  readonly #intake: Intake
  /** Aborted when the slot is another process' own. */
  readonly #displaced = new AbortController()
  #stream: WalStream | null = null
  #heartbeat: WalHeartbeat | null = null
  #dirty: DirtyKeys | null = null
  #mending = false
  readonly #reconnectsBefore: number
  readonly #spilledBefore: number

  constructor({ parts, state, lease, doubts, ackMarked }: SlotReaderOptions) {
    const { resolved, sources, ledger, databases, logger } = parts
    this.#parts = parts
    this.#state = state
    this.#lease = lease
    this.#doubts = doubts
    this.#reconnectsBefore = state.counts.reconnects
    this.#spilledBefore = state.counts.spilledKeys
    this.#intake = new Intake({ maxPendingBytes: resolved.maxPendingBytes, stream: () => this.#stream })
    this.#gate = new AckGate({
      db: databases.source,
      ledger,
      slot: resolved.slot.name,
      marked: ackMarked,
      onReplaced: (error) => this.#stream?.interrupt(error),
      onRaised: () => this.#stream?.flushAcks(),
      logger,
    })
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
    return this.#gate.confirmed
  }

  wake(): void {
    this.#dirty?.wake()
  }

  abandon(): void {
    this.#dispatcher.abandon()
    this.#spill.abandon()
  }

  /** Until the pipeline's signal is aborted, or another process has the slot; then it ends in the order in which nothing is lost. */
  async run(): Promise<void> {
    const { resolved, databaseUrl, sources, ledger, databases, signal, logger } = this.#parts
    const changes = this.#changes
    this.#spill.watch(this.#dispatcher)
    const stream = openWalStream({
      connection: { connectionString: databaseUrl, application_name: 'safetykit-sync' },
      slot: resolved.slot.name,
      publication: resolved.publication.name,
      sessionSettings: sessionSettingsSql,
      consumer: this.#consumer(),
      mend: (error, stopping) => this.#mend(error, stopping),
      onStatus: (status) => this.#follow(status),
      logger,
    })
    this.#stream = stream
    stream.done.catch((error: SyncError) => this.#parts.fail(error))
    this.#heartbeat = this.#openHeartbeat(stream)
    const dirty = new DirtyKeys({
      pool: databases.ledger,
      schema: resolved.schema,
      sources,
      doubts: this.#doubts,
      // Before it has the slot, or without its connection, another process may be the one that sends.
      attend: async () => (stream.status.phase === 'streaming' && this.#lease.valid ? allPartitions : noPartitions),
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
      before: (_, scanSignal) => {
        const isMending = (): boolean => this.#mending
        return untilSettled({ changes, db: databases.source, isMending }, scanSignal)
      },
      onKeys: () => dirty.wake(),
      everyMs: resolved.scan.everyMs,
      changes: this.#parts.changes,
      logger,
    })
    const results = followRequests(this.#parts, () => dirty.wake())
    this.#lease.onExpired(() => this.#dispatcher.giveUp())
    this.#lease.lost.addEventListener('abort', () => this.#displaced.abort(), { once: true })
    if (this.#lease.lost.aborted) this.#displaced.abort()
    await aborted(AbortSignal.any([signal, this.#displaced.signal]))
    // A process that was frozen may be told to end before it learns that another one has taken over.
    if (!this.#lease.valid) await this.#lease.renew()

    this.#heartbeat?.stop()
    stream.pause()
    await Promise.all([dirty.stop(), parked.stop(), scanner.stop(), results.stop()])
    const underWay = this.#displaced.signal.aborted || !this.#lease.valid ? this.#dispatcher.underWay() : []
    // Nothing is sent from here on. Before the lease lets go of what waits for it: it may be another process' by now.
    const stopped = this.#dispatcher.stop()
    this.#lease.end()
    if (this.#displaced.signal.aborted) this.#dispatcher.giveUp()
    const { inDoubt } = await stopped
    await this.#spill.stop()
    await dirty.flush()
    // The marks are those of the process that has the slot now.
    if (!inDoubt && !this.#displaced.signal.aborted) await this.#doubts.clear(changes.settledThrough)
    await stream.stop()
    if (!this.#displaced.signal.aborted) await this.#gate.close()
    await sendAgain(this.#parts, underWay)
  }

  readonly #arrive = (arrival: Arrival): void => this.#dispatcher.arrive(arrival)

  readonly #markTable = (source: string, ticket: Ticket): void => this.#dispatcher.markTable(source, ticket)

  #consumer(): WalConsumer {
    const changes = this.#changes
    return {
      select: (relation) => changes.select(relation),
      onStart: () => {
        changes.onStart()
        this.#gate.onStart()
        this.#heartbeat?.onStart()
      },
      onMessage: (message, lsn) => {
        this.#heartbeat?.onMessage()
        if (message.kind === 'message') this.#onLogicalMessage(message)
        else changes.onMessage(message, lsn)
      },
      onKeepalive: (walEnd) => changes.onKeepalive(walEnd),
      confirmed: () => this.#gate.allow(changes.confirmed()),
    }
  }

  /** Outside of a transaction it is decoded as it is read: all that was committed before it has been sent. */
  #onLogicalMessage({ transactional, lsn, prefix, content }: LogicalMessage): void {
    if (!transactional) this.#changes.onKeepalive(lsn)
    if (prefix === messagePrefix) this.#heartbeat?.onLogicalMessage(content)
  }

  #openHeartbeat(stream: WalStream): WalHeartbeat | null {
    const { resolved, databases, process, logger } = this.#parts
    const { everyMs, deadlineMs } = resolved.heartbeat
    if (everyMs === null) return null
    const isPaused = (): boolean => this.#intake.isPaused
    const state = this.#state
    return new WalHeartbeat({ db: databases.source, everyMs, deadlineMs, process, stream, isPaused, state, logger })
  }

  /** A slot that is lost is made anew, and what was missed is found by scans. */
  async #mend(error: SyncError, signal: AbortSignal): Promise<boolean> {
    const { databases, resolved, sources, ledger, logger } = this.#parts
    if (!isLost(error)) return false
    // Another process that has read from it meanwhile has moved it, and this one is its standby.
    await this.#lease.renew()
    if (this.#lease.lost.aborted) return true
    if (resolved.slot.onLost === 'stop') return false
    this.#state.enter('connecting', `${error.message}; it is made anew`)
    this.#mending = true
    try {
      const confirmed = await mendSlot({ databases, resolved, sources, ledger, signal, logger }, error)
      if (confirmed !== null) {
        this.#gate.reset(confirmed)
        this.#state.counts.slotsRecreated += 1
      }
      return true
    } finally {
      this.#mending = false
    }
  }

  #follow({ phase, reconnects, lastError }: WalStreamStatus): void {
    const state = this.#state
    state.counts.reconnects = this.#reconnectsBefore + reconnects
    if (phase === 'streaming') {
      state.enter('streaming')
      this.#dirty?.wake()
      return
    }
    this.#heartbeat?.onEnd()
    if (phase !== 'waiting') return
    state.enter('connecting', lastError?.message ?? null)
    if (lastError?.code === 'SLOT_IN_USE') void this.#lookWhoReads()
  }

  /** Whether it is another process that reads the slot, and not the rest of a connection that this one has lost. */
  async #lookWhoReads(): Promise<void> {
    const { databases, resolved, logger } = this.#parts
    const { name } = resolved.slot
    try {
      const slot = await withClient(databases.source, (client) => inspectSlot(client, name))
      const pid = slot?.activePid ?? null
      if (pid === null || pid === this.#stream?.pid) return
      logger.warn('Another process has taken the slot over; this one is its standby now', { slot: name })
      this.#displaced.abort()
    } catch (error) {
      logger.warn('The slot could not be looked at, trying again', { slot: name, error })
    }
  }

  #regulate(): void {
    const bytes = this.#dispatcher.walBytes + this.#spill.bytes
    this.#state.counts.spilledKeys = this.#spilledBefore + this.#spill.keys
    this.#intake.regulate(bytes)
    // Drained: what is confirmed need not wait for the timer.
    if (bytes === 0) this.#stream?.flushAcks()
  }
}
