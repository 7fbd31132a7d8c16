import type { LogicalMessage } from '../../capture/replication/pgoutput-messages.js'
import { inspectSlot } from '../../capture/replication/slot.js'
import { openWalStream, type WalStream, type WalStreamStatus } from '../../capture/replication/wal-stream.js'
import type { WalConsumer } from '../../capture/replication/wal-stream-options.js'
import type { SyncError } from '../../errors.js'
import type { Lsn } from '../../lsn.js'
import { sessionSettingsSql } from '../../mapping/session.js'
import type { Parts } from '../engine.js'
import type { LiveState } from '../live-state.js'
import { withClient } from '../migrate.js'
import { AckGate } from './ack-gate.js'
import { isLost, mendSlot } from './mend-slot.js'
import type { SlotLease } from './slot-lease.js'
import type { WalChanges } from './wal-changes.js'
import { messagePrefix, WalHeartbeat } from './wal-heartbeat.js'

interface SlotStreamOptions {
  readonly parts: Parts
  readonly state: LiveState
  readonly lease: SlotLease
  readonly changes: WalChanges
  /** How far the slot may have been confirmed, as the ledger has it; 0 where it does not know. */
  readonly ackMarked: Lsn
  /** Whether it is we who do not read. */
  readonly isPaused: () => boolean
  /** It brings changes, for the first time or again. */
  readonly onStreaming: () => void
  /** Another process reads the slot. */
  readonly onDisplaced: () => void
  /** It has not been read for long, although this process may send: another one may be able to. */
  readonly onUnreadable: () => void
}

/** So long a process that cannot read the slot keeps it from others. */
const mostUnreadMs = 30_000
const tickMs = 1_000

/**
 * The stream of a slot over all its connections: one that stalls is made anew, and so is a slot that is lost; a slot that
 * another process reads is left to it.
 */
export class SlotStream {
  readonly #options: SlotStreamOptions
  readonly #gate: AckGate
  readonly #stream: WalStream
  #heartbeat: WalHeartbeat | null = null
  #mending = false
  readonly #timer: NodeJS.Timeout
  #readAtMs = performance.now()
  readonly #reconnectsBefore: number

  /** Begins to read. */
  constructor(options: SlotStreamOptions) {
    const { parts, state, ackMarked } = options
    const { resolved, databaseUrl, databases, ledger, logger } = parts
    this.#options = options
    this.#reconnectsBefore = state.counts.reconnects
    this.#gate = new AckGate({
      db: databases.source,
      ledger,
      slot: resolved.slot.name,
      marked: ackMarked,
      onReplaced: (error) => this.#stream.interrupt(error),
      onRaised: () => this.#stream.flushAcks(),
      logger,
    })
    this.#stream = openWalStream({
      connection: { connectionString: databaseUrl, application_name: 'safetykit-sync' },
      slot: resolved.slot.name,
      publication: resolved.publication.name,
      sessionSettings: sessionSettingsSql,
      consumer: this.#consumer(),
      mend: (error, stopping) => this.#mend(error, stopping),
      onStatus: (status) => this.#follow(status),
      logger,
    })
    this.#stream.done.catch((error: SyncError) => parts.fail(error))
    this.#heartbeat = this.#openHeartbeat()
    this.#timer = setInterval(() => this.#tick(), tickMs).unref()
  }

  /** Without its connection another process may be the one that reads. */
  get isStreaming(): boolean {
    return this.#stream.status.phase === 'streaming'
  }

  /** Whether the slot is being made anew. */
  get isMending(): boolean {
    return this.#mending
  }

  /** How far the slot is confirmed, as far as that is known. */
  get confirmed(): Lsn | null {
    return this.#gate.confirmed
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  flushAcks(): void {
    this.#stream.flushAcks()
  }

  /** Reads no more; what is settled is acked still. */
  rest(): void {
    clearInterval(this.#timer)
    this.#heartbeat?.stop()
    this.#stream.pause()
  }

  /** @param displaced the slot's mark in the ledger is another process' by now. */
  async stop({ displaced }: { readonly displaced: boolean }): Promise<void> {
    await this.#stream.stop()
    if (displaced) return
    try {
      await this.#gate.close()
    } catch (error) {
      this.#options.parts.logger.warn('How far the slot is confirmed could not be noted', { error })
    }
  }

  /** A lease beside the slot is renewed by way of the ledger, which may be elsewhere. */
  #tick(): void {
    const { lease, parts, onUnreadable } = this.#options
    const nowMs = performance.now()
    if (this.isStreaming || this.#mending || !lease.valid) this.#readAtMs = nowMs
    if (nowMs - this.#readAtMs < mostUnreadMs) return
    this.#readAtMs = nowMs
    parts.logger.warn('The slot could not be read for long; another process may try', {
      slot: parts.resolved.slot.name,
    })
    onUnreadable()
  }

  #consumer(): WalConsumer {
    const { changes } = this.#options
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
    if (!transactional) this.#options.changes.onKeepalive(lsn)
    if (prefix === messagePrefix) this.#heartbeat?.onLogicalMessage(content)
  }

  #openHeartbeat(): WalHeartbeat | null {
    const { parts, state, isPaused } = this.#options
    const { resolved, databases, process, logger } = parts
    const { everyMs, deadlineMs } = resolved.heartbeat
    if (everyMs === null) return null
    const stream = this.#stream
    return new WalHeartbeat({ db: databases.source, everyMs, deadlineMs, process, stream, isPaused, state, logger })
  }

  /** A slot that is lost is made anew, and what was missed is found by scans. */
  async #mend(error: SyncError, signal: AbortSignal): Promise<boolean> {
    const { parts, state, lease } = this.#options
    const { databases, resolved, sources, ledger, logger } = parts
    if (!isLost(error)) return false
    // Another process that has read from it meanwhile has moved it, and this one is its standby.
    await lease.renew()
    if (lease.lost.aborted) return true
    if (resolved.slot.onLost === 'stop') return false
    state.enter('connecting', `${error.message}; it is made anew`)
    this.#mending = true
    try {
      const confirmed = await mendSlot({ databases, resolved, sources, ledger, signal, logger }, error)
      if (confirmed !== null) {
        this.#gate.reset(confirmed)
        state.counts.slotsRecreated += 1
      }
      return true
    } finally {
      this.#mending = false
    }
  }

  #follow({ phase, reconnects, lastError }: WalStreamStatus): void {
    const { state, onStreaming } = this.#options
    state.counts.reconnects = this.#reconnectsBefore + reconnects
    if (phase === 'streaming') {
      state.enter('streaming')
      onStreaming()
      return
    }
    this.#heartbeat?.onEnd()
    if (phase !== 'waiting') return
    state.enter('connecting', lastError?.message ?? null)
    if (lastError?.code === 'SLOT_IN_USE') void this.#lookWhoReads()
  }

  /** Whether it is another process that reads the slot, and not the rest of a connection that this one has lost. */
  async #lookWhoReads(): Promise<void> {
    const { parts, onDisplaced } = this.#options
    const { databases, resolved, logger } = parts
    const { name } = resolved.slot
    try {
      const slot = await withClient(databases.source, (client) => inspectSlot(client, name))
      const pid = slot?.activePid ?? null
      if (pid === null || pid === this.#stream.pid) return
      logger.warn('Another process has taken the slot over; this one is its standby now', { slot: name })
      onDisplaced()
    } catch (error) {
      logger.warn('The slot could not be looked at, trying again', { slot: name, error })
    }
  }
}
