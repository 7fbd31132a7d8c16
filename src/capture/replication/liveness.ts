/** When to speak and when to give up; all in milliseconds. */
export interface LivenessTimings {
  /** A status message at least this often: the server ends a connection that is silent for `wal_sender_timeout`. */
  readonly statusIntervalMs: number
  /** After this long without a word from the server, status messages ask for a reply. */
  readonly pingAfterMs: number
  /** After this long without a word, in spite of the asking, the server is taken for gone. */
  readonly deadAfterMs: number
}

/** What the connection looks like now; times in milliseconds of one clock. */
export interface Liveness {
  readonly now: number
  readonly lastReceivedAt: number
  readonly lastSentAt: number
  /** We do not read, so silence says nothing about the server. */
  readonly paused: boolean
}

export type LivenessVerdict = 'ok' | 'status' | 'ping' | 'dead'

const LONGEST_STATUS_INTERVAL_MS = 15_000
/**
 * Generous, because a server that decodes a huge transaction of other tables can be silent for long, and reconnecting
 * makes it start over.
 */
const DEAD_AFTER_STATUS_INTERVALS = 4
const SHORTEST_DEAD_AFTER_MS = 60_000

/** From the server's `wal_sender_timeout`; `0` is disabled. */
export function computeLivenessTimings(walSenderTimeoutMs: number): LivenessTimings {
  const third = walSenderTimeoutMs > 0 ? walSenderTimeoutMs / 3 : Number.POSITIVE_INFINITY
  const statusIntervalMs = Math.min(third, LONGEST_STATUS_INTERVAL_MS)
  return {
    statusIntervalMs,
    pingAfterMs: statusIntervalMs,
    deadAfterMs: Math.max(SHORTEST_DEAD_AFTER_MS, statusIntervalMs * DEAD_AFTER_STATUS_INTERVALS),
  }
}

/** What to do now. */
export function evaluateLiveness(liveness: Liveness, timings: LivenessTimings): LivenessVerdict {
  const silentMs = liveness.paused ? 0 : liveness.now - liveness.lastReceivedAt
  if (silentMs >= timings.deadAfterMs) return 'dead'
  if (liveness.now - liveness.lastSentAt < timings.statusIntervalMs) return 'ok'
  return silentMs >= timings.pingAfterMs ? 'ping' : 'status'
}
