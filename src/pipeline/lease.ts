import { randomUUID } from 'node:crypto'
import { type LeaseStore, leaseMs } from '../ledger/leases.js'

/** Between two renewals. */
const renewMs = 1_500
/** A lease counts as lost so long before it ends. */
const marginMs = 1_500

export interface LeaseOptions {
  readonly store: LeaseStore
  readonly name: string
  /** What the signal is aborted with when the lease is lost: another process has it, or it could not be renewed in time. */
  readonly reason?: (lost: 'taken' | 'expired', cause: unknown) => unknown
}

/** A lease by its name: one process at a time has it. To be acquired and released by one caller, in turn. */
export class Lease {
  readonly #options: LeaseOptions
  readonly #holder = randomUUID()
  #tenure: AbortController | null = null
  #timer: NodeJS.Timeout | null = null
  #renewing: Promise<void> | null = null
  #validUntilMs = 0

  constructor(options: LeaseOptions) {
    this.#options = options
  }

  /** Renewed from then on. The signal is aborted once it is lost; `null` where another process has it. */
  async acquire(): Promise<AbortSignal | null> {
    if (this.#tenure !== null && this.#isValid) return this.#tenure.signal
    this.#lose('expired', undefined)
    if (!(await this.#ask())) return null
    this.#tenure = new AbortController()
    this.#timer = setInterval(() => this.#renew(), renewMs).unref()
    return this.#tenure.signal
  }

  /** Does nothing where this process has not got it. */
  async release(): Promise<void> {
    if (this.#tenure === null) return
    this.#end()
    // Else it could be answered after the release, and take the lease once more.
    await this.#renewing
    await this.#options.store.release(this.#holder, [this.#options.name])
  }

  get #isValid(): boolean {
    return performance.now() < this.#validUntilMs
  }

  async #ask(): Promise<boolean> {
    const startedMs = performance.now()
    if ((await this.#options.store.acquire(this.#holder, this.#options.name)) === null) return false
    this.#validUntilMs = startedMs + leaseMs - marginMs
    return true
  }

  #renew(): void {
    if (!this.#isValid) this.#lose('expired', undefined)
    else
      this.#renewing ??= this.#askAgain().finally(() => {
        this.#renewing = null
      })
  }

  async #askAgain(): Promise<void> {
    try {
      if (!(await this.#ask())) this.#lose('taken', undefined)
    } catch (error) {
      if (!this.#isValid) this.#lose('expired', error)
    }
  }

  #lose(lost: 'taken' | 'expired', cause: unknown): void {
    this.#tenure?.abort(this.#options.reason?.(lost, cause))
    this.#end()
  }

  #end(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#tenure = null
  }
}
