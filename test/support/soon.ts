import { vi } from 'vitest'

/** Repeats `check` until it passes; the deadline is one that a busy machine meets. */
export const soon = <T>(check: () => T | Promise<T>, timeout = 60_000): Promise<T> =>
  vi.waitFor(check, { timeout, interval: 20 })
