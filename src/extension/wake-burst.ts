import type { Transaction } from './operation.js'

/** After the last operation of a transaction; each wait is twice the one before. */
const firstWakeMs = 5
const lastsMs = 2_000

/**
 * Wakes the worker after an interactive transaction that wrote. Prisma tells nobody when it is committed, so the worker is
 * woken several times from its last operation on: soon after, where the commit follows at once, and up to two seconds later.
 */
export class WakeBurst {
  readonly #wake: () => void
  readonly #wrote = new WeakSet<Transaction>()
  #timer: NodeJS.Timeout | null = null
  #waitMs = 0
  #since = 0
  #touched = false

  constructor(wake: () => void) {
    this.#wake = wake
  }

  /** After a write in this transaction. */
  begin(transaction: Transaction): void {
    this.#wrote.add(transaction)
    this.#touch()
  }

  /** After any other operation of a transaction, which puts off the end of one that wrote. */
  again(transaction: Transaction | undefined): void {
    if (transaction !== undefined && this.#wrote.has(transaction)) this.#touch()
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#touched = false
  }

  #touch(): void {
    this.#touched = true
    if (this.#timer === null) this.#next()
  }

  // A transaction's every operation comes by here, so a running timer is left alone and asked when it fires.
  #next(): void {
    const now = performance.now()
    if (this.#touched) {
      this.#touched = false
      this.#since = now
      this.#waitMs = firstWakeMs
    } else if (now - this.#since > lastsMs) {
      this.#timer = null
      return
    } else {
      this.#waitMs *= 2
    }
    this.#timer = setTimeout(() => {
      this.#wake()
      this.#next()
    }, this.#waitMs).unref()
  }
}
