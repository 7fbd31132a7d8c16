export interface BackoffSettings {
  /** The first wait is at most this long. */
  readonly baseMs: number
  /** No wait is longer than this. */
  readonly maxMs: number
}

/**
 * How long to wait before the next attempt: a random time up to a limit that doubles with every failure ("full
 * jitter"), so that many readers do not come back to a restarted server all at once.
 */
export function backoffMs(failures: number, settings: BackoffSettings, random: () => number): number {
  return random() * Math.min(settings.maxMs, settings.baseMs * 2 ** Math.max(0, failures - 1))
}
