import { setTimeout as sleep } from 'node:timers/promises'

const longestPauseMs = 50

/**
 * Repeats `check` until it passes; the deadline is one that a busy machine meets. What takes longer is looked at less often:
 * each look costs the one who is waited for.
 */
export async function soon<T>(check: () => T | Promise<T>, timeout = 60_000): Promise<T> {
  const deadline = performance.now() + timeout
  for (let pauseMs = 10; ; pauseMs = Math.min(longestPauseMs, pauseMs * 1.2)) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await sleep(pauseMs)
  }
}
