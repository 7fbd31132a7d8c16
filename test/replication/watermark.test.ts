import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LowWatermark, type PendingTransaction } from '../../src/capture/replication/watermark.js'

/** The rule, word for word: the end of the last transaction such that it and all before it are committed and settled. */
class NaiveWatermark {
  readonly #transactions: { unsettled: number; endLsn: bigint | null }[] = []
  readonly #idles: { after: number; walEnd: bigint }[] = []

  begin(): void {
    this.#transactions.push({ unsettled: 0, endLsn: null })
  }
  add(): number {
    this.#transactions.at(-1)!.unsettled++
    return this.#transactions.length - 1
  }
  commit(endLsn: bigint): void {
    this.#transactions.at(-1)!.endLsn = endLsn
  }
  settle(transaction: number): void {
    this.#transactions[transaction]!.unsettled--
  }
  idle(walEnd: bigint): void {
    if (this.#transactions.at(-1)?.endLsn === null) return
    this.#idles.push({ after: this.#transactions.length, walEnd })
  }
  confirmed(): bigint {
    const open = this.#transactions.findIndex(({ unsettled, endLsn }) => unsettled > 0 || endLsn === null)
    const settled = open === -1 ? this.#transactions.length : open
    const ends = this.#transactions.slice(0, settled).map(({ endLsn }) => endLsn!)
    const idles = this.#idles.filter(({ after }) => after <= settled).map(({ walEnd }) => walEnd)
    return [...ends, ...idles].reduce((max, lsn) => (lsn > max ? lsn : max), 0n)
  }
}

type Step = { do: 'begin' | 'add' | 'commit' | 'idle' } | { do: 'settle'; which: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom('begin' as const, 'commit' as const, 'idle' as const) }),
  { arbitrary: fc.constant({ do: 'add' as const }), weight: 2 },
  { arbitrary: fc.record({ do: fc.constant('settle' as const), which: fc.nat() }), weight: 3 },
)

describe('the low watermark', () => {
  test('confirms exactly what a naive reading of the rule confirms, whatever settles in whatever order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const watermark = new LowWatermark()
        const naive = new NaiveWatermark()
        const pending: { token: PendingTransaction; index: number }[] = []
        let lsn = 100n
        let open = false
        for (const one of steps) {
          lsn += 8n
          if (one.do === 'begin' && !open) {
            watermark.begin(lsn)
            naive.begin()
            open = true
          } else if (one.do === 'add' && open) {
            pending.push({ token: watermark.add(), index: naive.add() })
          } else if (one.do === 'commit' && open) {
            watermark.commit(lsn)
            naive.commit(lsn)
            open = false
          } else if (one.do === 'idle') {
            watermark.idle(lsn)
            naive.idle(lsn)
          } else if (one.do === 'settle' && pending.length > 0) {
            const { token, index } = pending.splice(one.which % pending.length, 1)[0]!
            watermark.settle(token)
            naive.settle(index)
          }
          expect(watermark.confirmed()).toBe(naive.confirmed())
          expect(watermark.unsettled).toBe(pending.length)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('does not confirm the second of two commits while the first is unsettled', () => {
    const watermark = new LowWatermark()
    watermark.begin(100n)
    const first = watermark.add()
    watermark.commit(110n)
    watermark.begin(110n)
    const second = watermark.add()
    watermark.commit(120n)
    watermark.settle(second)
    expect(watermark.confirmed()).toBe(0n)
    watermark.settle(first)
    expect(watermark.confirmed()).toBe(120n)
  })

  test('counts a transaction that settles before its commit arrives only once it is committed', () => {
    const watermark = new LowWatermark()
    watermark.begin(100n)
    watermark.settle(watermark.add())
    expect(watermark.confirmed()).toBe(0n)
    watermark.commit(110n)
    expect(watermark.confirmed()).toBe(110n)
  })

  test('ignores what an earlier attempt settles', () => {
    const earlier = new LowWatermark()
    earlier.begin(100n)
    const token = earlier.add()
    earlier.commit(110n)
    const watermark = new LowWatermark()
    watermark.begin(100n)
    watermark.add()
    watermark.commit(110n)
    watermark.settle(token)
    expect(watermark.confirmed()).toBe(0n)
    expect(watermark.unsettled).toBe(1)
  })

  test('does not let a keepalive confirm what is still unsettled, and remembers it for later', () => {
    const watermark = new LowWatermark()
    watermark.begin(100n)
    const token = watermark.add()
    watermark.idle(105n)
    watermark.commit(110n)
    watermark.idle(500n)
    expect(watermark.confirmed()).toBe(0n)
    watermark.settle(token)
    expect(watermark.confirmed()).toBe(500n)
  })

  test('keeps nothing of a million transactions that settled behind a slow one', () => {
    const watermark = new LowWatermark()
    watermark.begin(1n)
    const slow = watermark.add()
    watermark.commit(2n)
    const before = memory()
    for (let lsn = 10n; lsn < 1_000_010n; lsn++) {
      watermark.begin(lsn)
      watermark.settle(watermark.add())
      watermark.commit(lsn + 1n)
    }
    // A million of anything that is kept would be tens of megabytes.
    expect(memory() - before).toBeLessThan(8 * 1024 * 1024)
    watermark.settle(slow)
    expect(watermark.confirmed()).toBe(1_000_010n)
  })

  test('refuses to settle more than there was: acking too far would lose rows', () => {
    const watermark = new LowWatermark()
    watermark.begin(100n)
    const token = watermark.add()
    watermark.settle(token)
    expect(() => watermark.settle(token)).toThrow(expect.objectContaining({ code: 'INTERNAL' }))
  })
})

function memory(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}
