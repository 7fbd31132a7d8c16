import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { LeaseStore } from '../../ledger/leases.js'
import type { Queryable } from '../../ledger/postgres.js'
import type { Logger } from '../../logger.js'

/** So long a killed reader keeps the next one from sending. */
const leaseMs = 4_000
/** Between two renewals. */
const renewMs = 1_000
/** It counts as lost so long before it ends: what is sent then arrives before anyone else takes over. */
const marginMs = 1_000
/** Requests under way are given up so long before it ends. */
const giveUpMs = 250
/** Between two attempts to get what another process has. */
const acquireMs = 250

interface SlotLeaseOptions {
  readonly ledger: Queryable
  readonly schema: string
  readonly slot: string
  readonly logger: Logger
}

/**
 * Says who sends what the slot brings. The slot alone does not: its reader may lose the connection, or be frozen, without
 * noticing, and what waits in its memory is outdated once another process has read from the slot
 * (docs/decisions/slot-lease.md).
 */
export class SlotLease {
  readonly #store: LeaseStore
  readonly #name: string
  readonly #logger: Logger
  readonly #holder = randomUUID()
  readonly #lost = new AbortController()
  #validUntilMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | null = null
  #expiry: NodeJS.Timeout | null = null
  #onExpired: () => void = () => {}
  #renewing: Promise<void> | null = null
  #waiters: (() => void)[] = []
  #ended = false

  constructor({ ledger, schema, slot, logger }: SlotLeaseOptions) {
    this.#store = new LeaseStore({ pool: ledger, schema, leaseMs })
    this.#name = `slot ${slot}`
    this.#logger = logger
  }

  /** Aborted once another process has had it: nothing that this one has in memory is to be sent any more. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  get valid(): boolean {
    return !this.#lost.signal.aborted && performance.now() < this.#validUntilMs
  }

  /**
   * Resolves once this process has it, and renews it from then on; `false` where the signal is aborted before.
   * @param options.onBusy is called with each look that finds another process.
   */
  async acquire({ onBusy, signal }: { readonly onBusy: () => void; readonly signal: AbortSignal }): Promise<boolean> {
    let told = false
    while (!signal.aborted) {
      try {
        const startedMs = performance.now()
        if ((await this.#store.acquire(this.#holder, this.#name)) !== null) {
          this.#validFrom(startedMs)
          this.#timer = setInterval(() => void this.renew(), renewMs).unref()
          return true
        }
        onBusy()
        if (!told) this.#logger.info('Another process had the slot just now; waiting until it has given it up')
        told = true
      } catch (error) {
        this.#logger.warn('The lease of the slot could not be taken, trying again', { error })
      }
      await sleep(acquireMs, undefined, { signal }).catch(() => {})
    }
    return false
  }

  /** `null` where something may be sent now; else resolves when it may, or when nothing is to be sent any more. */
  untilValid(): Promise<void> | null {
    if (this.valid || this.#ended) return null
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Called where it was not renewed in time: what is under way is to be given up, before another process sends. */
  onExpired(listener: () => void): void {
    this.#onExpired = listener
  }

  /** Asks whether it is this process' still. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = null
    })
    return this.#renewing
  }

  /** Nothing is to be sent any more: lets go of those who wait. */
  end(): void {
    this.#ended = true
    for (const resolve of this.#waiters.splice(0)) resolve()
  }

  /** All that was sent is recorded, or left to the horizons: whoever is next need not wait. */
  async release(): Promise<void> {
    this.end()
    if (this.#timer !== null) clearInterval(this.#timer)
    if (this.#expiry !== null) clearTimeout(this.#expiry)
    await this.#renewing
    try {
      await this.#store.release(this.#holder, [this.#name])
    } catch (error) {
      this.#logger.warn('The lease of the slot could not be given back; it ends by itself', { error })
    }
  }

  async #renew(): Promise<void> {
    if (this.#lost.signal.aborted) return
    try {
      const startedMs = performance.now()
      if (await this.#store.hold(this.#holder, this.#name)) this.#validFrom(startedMs)
      else {
        this.#logger.warn('Another process has taken the slot over, since this one could not renew its lease in time')
        this.#lost.abort()
      }
    } catch (error) {
      this.#logger.warn('The lease of the slot could not be renewed, trying again', { error })
    }
  }

  #validFrom(startedMs: number): void {
    const endsAtMs = startedMs + leaseMs
    this.#validUntilMs = endsAtMs - marginMs
    if (this.#expiry !== null) clearTimeout(this.#expiry)
    this.#expiry = setTimeout(() => this.#onExpired(), endsAtMs - giveUpMs - performance.now()).unref()
    if (this.valid) for (const resolve of this.#waiters.splice(0)) resolve()
  }
}
