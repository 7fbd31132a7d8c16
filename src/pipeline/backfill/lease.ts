import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { SyncError } from '../../errors.js'
import { type LeaseStore, leaseMs } from '../../ledger/leases.js'
import type { Logger } from '../../logger.js'
import { takenOver } from './journal.js'

/** Between two renewals. */
const renewMs = 1_500
/** A lease counts as lost so long before it ends. */
const marginMs = 1_500
/** One that was left by a killed process has ended by then. */
const patienceMs = leaseMs + 3_000
const pollMs = 250

/** One process at a time backfills a table: it holds the lease `backfill <table>`. */
export class BackfillLease {
  readonly #store: LeaseStore
  readonly #name: string
  readonly #source: string
  readonly #logger: Logger
  readonly #holder = randomUUID()
  readonly #lost = new AbortController()
  #renewal: NodeJS.Timeout | null = null
  #validUntilMs = 0

  private constructor(store: LeaseStore, source: string, logger: Logger) {
    this.#store = store
    this.#source = source
    this.#name = `backfill ${source}`
    this.#logger = logger
  }

  /** @throws {SyncError} `BACKFILL_RUNNING` where another process has it and keeps it. */
  static async take(
    store: LeaseStore,
    { source, logger, signal }: { readonly source: string; readonly logger: Logger; readonly signal: AbortSignal },
  ): Promise<BackfillLease> {
    const lease = new BackfillLease(store, source, logger)
    const untilMs = performance.now() + patienceMs
    while (!(await lease.#acquire())) {
      if (performance.now() > untilMs) throw takenOver(source)
      await sleep(pollMs, undefined, { signal })
    }
    lease.#renewal = setInterval(() => void lease.#renew(), renewMs).unref()
    return lease
  }

  /** Aborted, with a `SyncError`, once it is another process'. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  async release(): Promise<void> {
    if (this.#renewal !== null) clearInterval(this.#renewal)
    this.#renewal = null
    // What cannot be given back ends by itself.
    await this.#store.release(this.#holder, [this.#name]).catch(() => {})
  }

  async #acquire(): Promise<boolean> {
    const startedMs = performance.now()
    if ((await this.#store.acquire(this.#holder, this.#name)) === null) return false
    this.#validUntilMs = startedMs + leaseMs - marginMs
    return true
  }

  async #renew(): Promise<void> {
    try {
      if (await this.#acquire()) return
      this.#lost.abort(takenOver(this.#source))
    } catch (error) {
      this.#logger.warn('The lease of a backfill could not be renewed, trying again', { source: this.#source, error })
      if (performance.now() <= this.#validUntilMs) return
      const message = `The lease of the backfill of ${this.#source} could not be renewed in time`
      this.#lost.abort(new SyncError('DATABASE_UNREACHABLE', message, { cause: error, retryable: true }))
    }
  }
}
