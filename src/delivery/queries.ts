import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../backoff.js'
import type { Logger } from '../logger.js'

const retryBounds = { baseMs: 100, maxMs: 5_000 }

/** Queries that are repeated until they work, and are waited for at the end. */
export class Queries {
  readonly #logger: Logger
  readonly #random: () => number
  readonly #running = new Set<Promise<void>>()
  #stopped = false

  constructor(options: { readonly logger: Logger; readonly random: () => number }) {
    this.#logger = options.logger
    this.#random = options.random
  }

  /** `null` where it was stopped before the query worked. */
  async untilItWorks<T>(failure: string, query: () => Promise<T>): Promise<T | null> {
    for (let attempt = 0; !this.#stopped; attempt += 1) {
      try {
        return await query()
      } catch (error) {
        this.#logger.error(`${failure}, trying again`, { attempt: attempt + 1, error })
        await sleep(backoffMs(attempt, retryBounds, this.#random), undefined, { ref: false })
      }
    }
    return null
  }

  track(query: Promise<void> | null): void {
    if (query === null) return
    const tracked: Promise<void> = query.finally(() => this.#running.delete(tracked))
    this.#running.add(tracked)
  }

  /** Repeats none. */
  stop(): void {
    this.#stopped = true
  }

  /** Resolves when all have ended. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running)
  }
}
