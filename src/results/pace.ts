import { backoffMs } from '../backoff.js'

/** Between two looks where nothing is due. */
export const idleMs = 2_000

/** While requests come due one after another. */
const busyMs = 500

const afterFailure = { baseMs: 1_000, maxMs: 60_000 }

/** Whatever the API asks for. */
const maxRestMs = 60 * 60_000

/** How long until the next look, with so many found of so many at most. */
export function nextLookMs(found: number, limit: number): number {
  if (found === 0) return idleMs
  return found >= limit ? 0 : busyMs
}

/**
 * How long nobody is asked anything after failures in a row: at least half of a bound that doubles, and what the API asked
 * for.
 */
export function restMs(failures: number, retryAfterMs: number | null, random: () => number): number {
  return Math.max(
    backoffMs(failures - 1, afterFailure, () => 0.5 + random() / 2),
    Math.min(retryAfterMs ?? 0, maxRestMs),
  )
}
