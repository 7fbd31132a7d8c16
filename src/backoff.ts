export interface BackoffBounds {
  /** The first wait is at most this long. */
  readonly baseMs: number
  /** No wait is longer than this. */
  readonly maxMs: number
}

/**
 * How long to wait before the next attempt: a random time up to a bound that doubles with every failure ("full jitter"),
 * so that many who wait do not come back all at once.
 * @param attempt 0 for the first retry.
 */
export function backoffMs(attempt: number, bounds: BackoffBounds, random: () => number): number {
  return Math.round(random() * Math.min(bounds.maxMs, bounds.baseMs * 2 ** Math.min(attempt, 30)))
}
