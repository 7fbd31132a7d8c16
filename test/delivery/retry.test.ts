import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoffMs } from '../../src/backoff.js'
import { ConcurrencyLimit } from '../../src/delivery/concurrency.js'
import { parseRetryAfter } from '../../src/delivery/retry.js'

describe('the wait before a retry', () => {
  const bounds = { baseMs: 250, maxMs: 30_000 }
  const longest = (attempt: number) => backoffMs(attempt, bounds, () => 1)

  test('may double with each attempt, up to the longest', () => {
    expect([0, 1, 2, 3, 6, 7, 8].map(longest)).toEqual([250, 500, 1_000, 2_000, 16_000, 30_000, 30_000])
  })

  test('is a random part of that, so that many do not come back at once', () => {
    expect([0, 0.25, 0.5, 1].map((part) => backoffMs(3, bounds, () => part))).toEqual([0, 500, 1_000, 2_000])
  })

  test('is never negative, never more than the longest, however often it failed', () => {
    const attempt = fc.nat({ max: 100_000 })
    const part = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(attempt, part, fc.nat(), fc.nat(), (attempt, part, baseMs, maxMs) => {
        const waitMs = backoffMs(attempt, { baseMs, maxMs }, () => part)
        expect(waitMs).toBeGreaterThanOrEqual(0)
        expect(waitMs).toBeLessThanOrEqual(maxMs)
        expect(Number.isInteger(waitMs)).toBe(true)
      }),
    )
  })
})

describe('Retry-After', () => {
  const now = Date.parse('2026-01-02T03:04:05Z')

  test.each([
    ['seconds', '3', 3_000],
    ['no seconds', '0', 0],
    ['seconds in spaces', ' 120 ', 120_000],
    ['a part of a second', '0.25', 250],
    ['less than a millisecond, rounded up', '0.0001', 1],
    ['a date', 'Fri, 02 Jan 2026 03:04:15 GMT', 10_000],
    ['a date of RFC 850', 'Friday, 02-Jan-26 03:04:15 GMT', 10_000],
    ['this moment', 'Fri, 02 Jan 2026 03:04:05 GMT', 0],
    ['a date that has passed', 'Thu, 01 Jan 2026 00:00:00 GMT', 0],
    ['nothing', undefined, null],
    ['an empty header', '', null],
    ['only spaces', '   ', null],
    ['words', 'soon', null],
    ['a number with a unit', '10 seconds please', null],
  ])('%s', (_, header, waitMs) => {
    expect(parseRetryAfter(header, now)).toBe(waitMs)
  })

  test('whatever stands there, the wait is none or not negative', () => {
    fc.assert(
      fc.property(fc.string(), (header) => {
        const waitMs = parseRetryAfter(header, now)
        expect(waitMs === null || waitMs >= 0).toBe(true)
      }),
    )
  })
})

describe('the number of requests at once', () => {
  const succeed = (limit: ConcurrencyLimit, times: number) => {
    for (let n = 0; n < times; n += 1) limit.succeeded()
    return limit.limit
  }

  test('starts at the most, and stays there', () => {
    expect(succeed(new ConcurrencyLimit(16), 100)).toBe(16)
  })

  test('halves when the API asks for less, down to one', () => {
    const limit = new ConcurrencyLimit(16)
    const seen = Array.from({ length: 6 }, () => {
      limit.throttled()
      return limit.limit
    })
    expect(seen).toEqual([8, 4, 2, 1, 1, 1])
  })

  test('grows by one with every full round of successes, up to the most', () => {
    const limit = new ConcurrencyLimit(5)
    limit.throttled()
    expect(limit.limit).toBe(2)
    expect([succeed(limit, 1), succeed(limit, 1)]).toEqual([2, 3])
    expect([succeed(limit, 2), succeed(limit, 1)]).toEqual([3, 4])
    expect([succeed(limit, 3), succeed(limit, 1)]).toEqual([4, 5])
    expect(succeed(limit, 50)).toBe(5)
  })

  test('a round that a refusal ends counts for nothing', () => {
    const limit = new ConcurrencyLimit(8)
    limit.throttled()
    succeed(limit, 3)
    limit.throttled()
    expect(limit.limit).toBe(2)
    expect(succeed(limit, 1)).toBe(2)
  })

  test('is never below one nor above the most', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.array(fc.boolean(), { maxLength: 300 }), (max, answers) => {
        const limit = new ConcurrencyLimit(max)
        for (const good of answers) {
          if (good) limit.succeeded()
          else limit.throttled()
          expect(limit.limit).toBeGreaterThanOrEqual(1)
          expect(limit.limit).toBeLessThanOrEqual(max)
        }
      }),
    )
  })
})
