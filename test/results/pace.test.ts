import fc from 'fast-check'
import { expect, test } from 'vitest'
import { idleMs, nextLookMs, restMs } from '../../src/results/pace.js'

test('where nothing is due it looks each two seconds, and at once where more is due than one look takes', () => {
  expect(nextLookMs(0, 64)).toBe(2_000)
  expect(nextLookMs(64, 64)).toBe(0)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 63 }), (found) => {
      const waitMs = nextLookMs(found, 64)
      expect(waitMs).toBeGreaterThan(0)
      expect(waitMs).toBeLessThan(idleMs)
    }),
  )
})

test('after failures it rests for a time that doubles up to a minute, and as long as it is asked to, up to an hour', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000 }),
      fc.option(fc.integer({ min: 0, max: 10 * 3_600_000 })),
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      (failures, retryAfterMs, random) => {
        const bound = Math.min(60_000, 1_000 * 2 ** (failures - 1))
        const waitMs = restMs(failures, retryAfterMs, () => random)
        expect(waitMs).toBeGreaterThanOrEqual(Math.max(bound / 2, Math.min(retryAfterMs ?? 0, 3_600_000)))
        expect(waitMs).toBeLessThanOrEqual(Math.max(bound, retryAfterMs ?? 0))
      },
    ),
  )
})
