import { setTimeout as sleep } from 'node:timers/promises'
import { mayPass } from '../../database-errors.js'
import type { DispatchCounts } from '../../delivery/dispatch-options.js'
import { noCounts, sumOfCounts } from '../dispatch-counts.js'
import type { Engine, EngineLoad, Parts } from '../engine.js'
import { LiveState } from '../live-state.js'
import { ackMark } from './ack-mark.js'
import { Doubts } from './doubts.js'
import { SlotLease } from './slot-lease.js'
import { SlotReader } from './slot-reader.js'
import { untilSlotIsFree } from './standby.js'

const retryMs = 1_000

/** Changes from the WAL: a standby until the slot is free, then the one that reads it, and a standby again where it has lost it. */
export class ReplicationEngine implements Engine {
  readonly state: LiveState
  readonly #parts: Parts
  readonly #resting: EngineLoad
  #reader: SlotReader | null = null
  #past: DispatchCounts = noCounts
  #abandoned = false

  constructor(parts: Parts) {
    const { maxConcurrency } = parts.resolved.delivery
    this.#parts = parts
    this.#resting = { requestsInFlight: 0, maxRequestsInFlight: maxConcurrency, pendingBytes: 0, leases: 0 }
    this.state = new LiveState(() => this.#reader?.confirmedLsn ?? null)
  }

  get counts(): DispatchCounts {
    return this.#reader === null ? this.#past : sumOfCounts(this.#past, this.#reader.counts)
  }

  get load(): EngineLoad {
    return this.#reader?.load ?? this.#resting
  }

  wake(): void {
    this.#reader?.wake()
  }

  release(): void {
    this.#reader?.release()
  }

  /** The slot is one process' own for as long as it runs. */
  async rest(): Promise<void> {}

  abandon(): void {
    this.#abandoned = true
    this.#reader?.abandon()
  }

  async run(): Promise<void> {
    const { signal } = this.#parts
    try {
      while (!signal.aborted) await this.#takeOver()
    } finally {
      this.state.enter('stopped')
    }
  }

  async #takeOver(): Promise<void> {
    const { databases, resolved, settings, signal, logger } = this.#parts
    const onBusy = (): void => this.state.enter('standby')
    await untilSlotIsFree({ db: databases.source, slot: resolved.slot.name, onBusy, signal, logger })
    if (signal.aborted) return
    const lease = new SlotLease({
      ledger: databases.ledger,
      schema: resolved.schema,
      slot: resolved.slot.name,
      logger,
    })
    if (!(await lease.acquire({ onBusy, signal }))) return
    // Not before: until now another process has delivered, with the settings of its own mapping.
    settings.begin()
    try {
      await this.#read(lease)
    } finally {
      settings.end()
      await lease.release()
    }
  }

  async #read(lease: SlotLease): Promise<void> {
    this.state.enter('connecting')
    const reader = await this.#openReader(lease)
    if (reader === null) return
    this.#reader = reader
    if (this.#abandoned) reader.abandon()
    await reader.run()
    this.#past = sumOfCounts(this.#past, reader.counts)
    this.#reader = null
  }

  /** `null` where the database is away for the moment. */
  async #openReader(lease: SlotLease): Promise<SlotReader | null> {
    const { databases, ledger, resolved, logger, signal } = this.#parts
    try {
      const doubts = await Doubts.open({ databases, ledger, resolved, logger })
      const ackMarked = await ledger.horizon(ackMark(resolved.slot.name))
      return new SlotReader({ parts: this.#parts, state: this.state, lease, doubts, ackMarked })
    } catch (error) {
      if (!mayPass(error)) throw error
      logger.warn('The database could not be read, trying again', { error })
      await sleep(retryMs, undefined, { signal }).catch(() => {})
      return null
    }
  }
}
