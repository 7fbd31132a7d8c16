import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { computeLivenessTimings, evaluateLiveness } from '../../src/capture/replication/liveness.js'

const timings = { statusIntervalMs: 1_000, pingAfterMs: 2_000, deadAfterMs: 10_000 }
const fresh = { now: 100_000, lastReceivedAt: 100_000, lastSentAt: 100_000, paused: false }

describe('liveness', () => {
  test('a status goes out at a third of wal_sender_timeout, and within 15 s when there is no timeout', () => {
    expect(computeLivenessTimings(2_000).statusIntervalMs).toBeCloseTo(667, 0)
    expect(computeLivenessTimings(0).statusIntervalMs).toBe(15_000)
    expect(computeLivenessTimings(3_600_000).statusIntervalMs).toBe(15_000)
  })

  test('the server has several chances to answer before it is taken for gone', () => {
    fc.assert(
      fc.property(fc.nat(10_000_000), (timeoutMs) => {
        const { statusIntervalMs, pingAfterMs, deadAfterMs } = computeLivenessTimings(timeoutMs)
        return deadAfterMs >= pingAfterMs + 3 * statusIntervalMs
      }),
    )
  })

  test('speaks in time, asks a silent server, and gives up on a dead one', () => {
    expect(evaluateLiveness(fresh, timings)).toBe('ok')
    expect(evaluateLiveness({ ...fresh, lastSentAt: 99_000 }, timings)).toBe('status')
    expect(evaluateLiveness({ ...fresh, lastSentAt: 99_000, lastReceivedAt: 98_000 }, timings)).toBe('ping')
    expect(evaluateLiveness({ ...fresh, lastReceivedAt: 90_000 }, timings)).toBe('dead')
  })

  test('does not take the silence that a pause of our own makes for a dead server, and still speaks', () => {
    const paused = { ...fresh, paused: true, lastReceivedAt: 0 }
    expect(evaluateLiveness(paused, timings)).toBe('ok')
    expect(evaluateLiveness({ ...paused, lastSentAt: 99_000 }, timings)).toBe('status')
  })
})
