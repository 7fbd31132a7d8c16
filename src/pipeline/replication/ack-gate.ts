import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import { inspectSlot } from '../../capture/replication/slot.js'
import { SyncError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import { formatLsn, type Lsn } from '../../lsn.js'
import { withClient } from '../migrate.js'
import { ackMark } from './ack-mark.js'

/** How far the mark jumps ahead: more where it would be moved more than once a second, less where seldom. */
const leastStep = 16n * 1024n
const mostStep = 16n * 1024n * 1024n
const quickMs = 1_000
const retryMs = 250

interface AckStore {
  setHorizon(name: string, through: bigint): Promise<void>
  raiseHorizon(name: string, through: bigint): Promise<void>
}

interface AckGateOptions {
  readonly db: Pool
  readonly ledger: AckStore
  readonly slot: string
  /** The mark in the ledger; 0 where there is none. */
  readonly marked: Lsn
  /** Someone else has moved the slot: it is to be mended before it is read any further. */
  readonly onReplaced: (error: SyncError) => void
  /** What could not be confirmed can be now. */
  readonly onRaised: () => void
  readonly logger: Logger
}

/**
 * Lets through what the slot may be told to confirm, and knows thereby whether anyone else has moved the slot. A slot that
 * was dropped and made anew begins later than this sync has ever confirmed, and so does one that someone has advanced: what
 * lies between was not delivered and does not come again.
 *
 * Within a process that is known exactly. Over restarts a mark in the ledger knows it, which runs ahead of what is confirmed,
 * so that it costs an update at most every second or so; an end in order makes it exact (docs/decisions/lost-slot.md).
 */
export class AckGate {
  readonly #options: AckGateOptions
  /** The slot's `confirmed_flush_lsn` was never past this; 0 where nothing is known. */
  #bound: Lsn
  /** What the mark in the ledger allows. */
  #marked: Lsn
  #step = leastStep
  #markedAtMs = Number.NEGATIVE_INFINITY
  #marking: Promise<void> | null = null
  /** Whether this attempt's slot was looked at: before that nothing is confirmed. */
  #looked = false
  #attempt = 0
  #closed = false

  constructor(options: AckGateOptions) {
    this.#options = options
    this.#marked = this.#bound = options.marked
  }

  /** How far the slot is confirmed, as far as that is known; `null` where nothing is. */
  get confirmed(): Lsn | null {
    return this.#looked && this.#bound > 0n ? this.#bound : null
  }

  /** An attempt to read the slot has begun: the slot is this process' own for as long as it lasts. */
  onStart(): void {
    this.#looked = false
    this.#attempt += 1
    void this.#look(this.#attempt)
  }

  /** The slot was made anew and begins here; the ledger has it. */
  reset(confirmed: Lsn): void {
    this.#marked = this.#bound = confirmed
  }

  /** How much of it may be confirmed now. */
  allow(settled: Lsn): Lsn {
    if (!this.#looked) return 0n
    if (settled > this.#marked && this.#marking === null && !this.#closed) {
      this.#marking = this.#mark(settled).finally(() => {
        this.#marking = null
      })
    }
    const allowed = settled < this.#marked ? settled : this.#marked
    if (allowed > this.#bound) this.#bound = allowed
    return allowed
  }

  /** Nothing more is confirmed: the mark becomes exact. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#marking
    const { ledger, slot } = this.#options
    if (this.#bound > 0n && this.#bound < this.#marked) await ledger.setHorizon(ackMark(slot), this.#bound)
  }

  async #look(attempt: number): Promise<void> {
    const { db, slot: name, logger, onReplaced, onRaised } = this.#options
    while (attempt === this.#attempt && !this.#closed) {
      try {
        const slot = await withClient(db, (client) => inspectSlot(client, name))
        if (attempt !== this.#attempt) return
        const confirmed = slot?.confirmedFlushLsn ?? 0n
        if (this.#bound > 0n && confirmed > this.#bound) {
          logger.debug('The slot is further than it was ever confirmed', {
            slot: name,
            confirmed: formatLsn(confirmed),
          })
          onReplaced(slotReplaced(name))
          return
        }
        this.#bound = confirmed
        this.#looked = true
        onRaised()
        return
      } catch (error) {
        logger.warn('The slot could not be looked at, trying again', { slot: name, error })
        await sleep(retryMs, undefined, { ref: false })
      }
    }
  }

  async #mark(settled: Lsn): Promise<void> {
    const nowMs = performance.now()
    this.#step =
      nowMs - this.#markedAtMs < quickMs ? least(this.#step * 4n, mostStep) : most(this.#step / 2n, leastStep)
    this.#markedAtMs = nowMs
    const through = settled + this.#step
    try {
      await this.#options.ledger.raiseHorizon(ackMark(this.#options.slot), through)
      this.#marked = through
      this.#options.onRaised()
    } catch (error) {
      this.#options.logger.warn('The ledger could not be written, so nothing is confirmed; trying again', { error })
      await sleep(retryMs, undefined, { ref: false })
    }
  }
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b)
const most = (a: bigint, b: bigint): bigint => (a > b ? a : b)

function slotReplaced(name: string): SyncError {
  return new SyncError('SLOT_REPLACED', `Someone has advanced the replication slot "${name}", or made it anew`, {
    hint: `SELECT pg_drop_replication_slot('${name}'); then run \`safetykit-sync migrate\`; what was written in between is found by a scan. Nobody else should read from this slot.`,
  })
}
