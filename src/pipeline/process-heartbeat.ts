import type { HeartbeatStore } from '../ledger/heartbeats.js'
import type { Logger } from '../logger.js'
import { formatLsn } from '../lsn.js'
import type { LiveState } from './live-state.js'

interface ProcessHeartbeatOptions {
  readonly store: HeartbeatStore
  /** A UUID. */
  readonly process: string
  readonly state: LiveState
  /** The slot that it reads, or waits for; `null` without replication. */
  readonly slot: string | null
  readonly everyMs: number
  readonly logger: Logger
}

/** Tells the ledger how this process stands: every so often, at each change of its phase, and when it ends in order. */
export class ProcessHeartbeat {
  readonly #options: ProcessHeartbeatOptions
  readonly #timer: NodeJS.Timeout
  #beating: Promise<void> | null = null
  #again = false
  #failed = false

  constructor(options: ProcessHeartbeatOptions) {
    this.#options = options
    options.state.onPhase(() => this.#beat())
    this.#timer = setInterval(() => this.#beat(), options.everyMs).unref()
    this.#beat()
  }

  /** Resolves once the last state is written, or could not be. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#beating
  }

  /** One at a time; what has changed meanwhile is told by the next. */
  #beat(): void {
    this.#again = true
    this.#beating ??= this.#write().finally(() => {
      this.#beating = null
    })
  }

  async #write(): Promise<void> {
    const { store, process, slot, state, logger } = this.#options
    while (this.#again) {
      this.#again = false
      const { phase, since, confirmedLsn, heartbeat } = state
      try {
        await store.beat({
          process,
          state: phase,
          sinceMs: Date.now() - since.getTime(),
          slot,
          confirmedLsn: confirmedLsn === null ? null : formatLsn(confirmedLsn),
          roundTripMs: heartbeat?.roundTripMs ?? null,
        })
        if (this.#failed) state.ledgerAway(null)
        this.#failed = false
      } catch (error) {
        logger[this.#failed ? 'debug' : 'warn']('The heartbeat could not be written into the side tables', { error })
        this.#failed = true
        state.ledgerAway('The side tables cannot be written')
      }
    }
  }
}
