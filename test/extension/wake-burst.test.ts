import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Transaction } from '../../src/extension/operation.js'
import { WakeBurst } from '../../src/extension/wake-burst.js'

let wakes: number[]
let burst: WakeBurst
const transaction = (id: string): Transaction => ({ kind: 'itx', id })

beforeEach(() => {
  vi.useFakeTimers()
  wakes = []
  const begin = performance.now()
  burst = new WakeBurst(() => wakes.push(Math.round(performance.now() - begin)))
})
afterEach(() => {
  vi.useRealTimers()
})

test('wakes soon after a write in a transaction, ever less often, and then no more', () => {
  burst.begin(transaction('1'))
  vi.advanceTimersByTime(60_000)
  expect(wakes.slice(0, 4)).toEqual([5, 15, 35, 75])
  expect(wakes.length).toBeLessThan(12)
  expect(wakes.at(-1)).toBeGreaterThan(1_000)
  expect(vi.getTimerCount()).toBe(0)
})

test('begins anew with every operation of that transaction, reads too', () => {
  const own = transaction('1')
  burst.begin(own)
  vi.advanceTimersByTime(10_000)
  burst.again(own)
  vi.advanceTimersByTime(10)
  expect(wakes.at(-1)).toBe(10_005)
})

test('is not begun by transactions that only read, nor by what is in none', () => {
  burst.again(transaction('1'))
  burst.again(undefined)
  expect(vi.getTimerCount()).toBe(0)
})

test('has one timer, however many transactions are under way', () => {
  for (let n = 0; n < 1_000; n += 1) burst.begin(transaction(String(n)))
  expect(vi.getTimerCount()).toBe(1)
  burst.stop()
  expect(vi.getTimerCount()).toBe(0)
})
