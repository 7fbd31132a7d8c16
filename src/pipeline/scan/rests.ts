import { backoffMs } from '../../backoff.js'

/** After a scan the table rests so many times as long as the scan took: marks that keep coming cost it a fifth of the time. */
const restFactor = 4
const maxRestMs = 300_000
const retryBounds = { baseMs: 500, maxMs: 30_000 }

/** Which tables are not to be scanned yet. */
export class Rests {
  readonly #rests = new Map<string, { readonly untilMs: number; readonly failures: number }>()

  isOver(source: string): boolean {
    return performance.now() >= (this.#rests.get(source)?.untilMs ?? 0)
  }

  /** A scan took so long. */
  begin(source: string, tookMs: number): void {
    this.#rest(source, Math.min(maxRestMs, tookMs * restFactor), 0)
  }

  /** A scan failed. Returns how long it is until the next attempt. */
  failed(source: string): number {
    const failures = this.#rests.get(source)?.failures ?? 0
    const delayMs = backoffMs(failures, retryBounds, Math.random)
    this.#rest(source, delayMs, failures + 1)
    return delayMs
  }

  /** Until the next table has rested. */
  *leftMs(): Iterable<number> {
    const nowMs = performance.now()
    for (const { untilMs } of this.#rests.values()) if (untilMs > nowMs) yield untilMs - nowMs
  }

  #rest(source: string, forMs: number, failures: number): void {
    this.#rests.set(source, { untilMs: performance.now() + forMs, failures })
  }
}
