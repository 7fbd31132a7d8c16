import { describe, expect, test } from 'vitest'
import { Lane } from '../../src/delivery/lane.js'
import type { Origin } from '../../src/delivery/ports.js'
import { ObjectSlot } from '../../src/delivery/slot.js'

const origin: Origin = { namespace: 'products', source: 'public.products', keyOf: (id) => ({ id }), tombstone: null }
const settings = {
  maxBatchObjects: 100,
  maxBatchBytes: 1_000,
  maxBatchAgeMs: 25,
  maxConcurrency: 16,
  requestTimeoutMs: 1_000,
  retryBaseMs: 100,
  retryMaxMs: 1_000,
}
const never = Number.POSITIVE_INFINITY

function lane(overrides: Partial<typeof settings> = {}) {
  const made = new Lane('products', { ...settings, ...overrides })
  return {
    lane: made,
    put(id: string, options: { sinceMs?: number; bytes?: number; failures?: number } = {}) {
      const slot = new ObjectSlot(origin, id)
      slot.failures = options.failures ?? 0
      made.put(slot, options.bytes ?? 1, options.sinceMs ?? 0)
      return slot
    },
    take: () => made.takeBatch().map((slot) => slot.id),
    fail: (startedMs: number, nowMs = startedMs, retryAfterMs: number | null = null) =>
      made.failed({ startedMs, nowMs, retryAfterMs, random: () => 1 }),
  }
}

describe('a batch is due', () => {
  test('never, where nothing is ready', () => {
    expect(lane().lane.dueAtMs()).toBe(never)
  })

  test('when its oldest object has waited long enough', () => {
    const { lane: products, put } = lane()
    put('1', { sinceMs: 1_000 })
    put('2', { sinceMs: 1_020 })
    expect(products.dueAtMs()).toBe(1_025)
  })

  test('at once, when it is full by count', () => {
    const { lane: products, put } = lane({ maxBatchObjects: 3 })
    put('1', { sinceMs: 1_000 })
    put('2', { sinceMs: 1_000 })
    expect(products.dueAtMs()).toBe(1_025)
    put('3', { sinceMs: 1_000 })
    expect(products.dueAtMs()).toBe(0)
  })

  test('at once, when it is full by bytes', () => {
    const { lane: products, put } = lane()
    put('1', { sinceMs: 1_000, bytes: 600 })
    expect(products.dueAtMs()).toBe(1_025)
    const second = put('2', { sinceMs: 1_000, bytes: 400 })
    expect(products.dueAtMs()).toBe(0)
    products.remove(second)
    expect(products.dueAtMs()).toBe(1_025)
  })

  test('counts the bytes of a newer state instead of the older one', () => {
    const { lane: products, put } = lane()
    const slot = put('1', { sinceMs: 1_000, bytes: 600 })
    products.put(slot, 500, 1_010)
    expect(products.dueAtMs()).toBe(1_025)
    products.put(slot, 1_000, 1_020)
    expect(products.dueAtMs()).toBe(0)
  })
})

describe('a batch holds', () => {
  test('the oldest objects, up to the count', () => {
    const { put, take } = lane({ maxBatchObjects: 2 })
    for (const id of ['1', '2', '3', '4', '5']) put(id)
    expect([take(), take(), take(), take()]).toEqual([['1', '2'], ['3', '4'], ['5'], []])
  })

  test('no more than the bytes of a request', () => {
    const { put, take } = lane()
    put('1', { bytes: 600 })
    put('2', { bytes: 400 })
    put('3', { bytes: 1 })
    put('4', { bytes: 1_000 })
    put('5', { bytes: 1_000 })
    expect([take(), take(), take(), take()]).toEqual([['1', '2'], ['3'], ['4'], ['5']])
  })

  test('an object that changes while it waits in its old place, so that others cannot pass it for ever', () => {
    const { lane: products, put, take } = lane({ maxBatchObjects: 2 })
    const hot = put('hot')
    for (const id of ['1', '2', '3']) put(id)
    products.put(hot, 1, 20)
    expect([take(), take()]).toEqual([
      ['hot', '1'],
      ['2', '3'],
    ])
  })

  test('nothing else, where the object has failed again and again', () => {
    const { put, take } = lane()
    put('1', { failures: 3 })
    put('2', { failures: 4 })
    put('3', { failures: 5 })
    put('4')
    put('5')
    expect([take(), take(), take(), take()]).toEqual([['1'], ['2'], ['3'], ['4', '5']])
  })
})

describe('after a failure', () => {
  test('the next request waits, longer each time, and not at all after a success', () => {
    const { lane: products, put, fail } = lane()
    put('1', { sinceMs: -1_000 })
    fail(0)
    expect(products.dueAtMs()).toBe(100)
    fail(100)
    expect(products.dueAtMs()).toBe(300)
    fail(300)
    expect(products.dueAtMs()).toBe(700)
    for (let nowMs = 700; nowMs < 10_000; nowMs += 1_000) fail(nowMs)
    expect(products.dueAtMs()).toBe(10_700)
    products.succeeded(10_700)
    expect(products.dueAtMs()).toBe(0)
  })

  test('requests that were under way together count once', () => {
    const { lane: products, put, fail } = lane()
    put('1', { sinceMs: -1_000 })
    for (let n = 0; n < 16; n += 1) fail(0, 10 + n)
    expect(products.dueAtMs()).toBe(110)
    fail(110)
    expect(products.dueAtMs()).toBe(310)
  })

  test('one request at a time feels for the API', () => {
    const { lane: products, put, fail } = lane({ maxBatchObjects: 1 })
    put('1')
    products.inFlight = 1
    expect(products.dueAtMs()).toBe(0)
    fail(0)
    expect(products.dueAtMs()).toBe(never)
    products.inFlight = 0
    expect(products.dueAtMs()).toBe(100)
  })

  test('Retry-After is waited for, also where the own wait would be shorter or another request gets through', () => {
    const { lane: products, put, fail } = lane()
    put('1', { sinceMs: -1_000 })
    fail(0, 10, 5_000)
    expect(products.dueAtMs()).toBe(5_010)
    fail(0, 20, 1_000)
    expect(products.dueAtMs()).toBe(5_010)
    products.succeeded(30)
    expect(products.dueAtMs()).toBe(5_010)
  })

  test('an own wait that is longer than Retry-After is waited for', () => {
    const { lane: products, put, fail } = lane()
    put('1', { sinceMs: -1_000 })
    fail(0, 10, 1)
    expect(products.dueAtMs()).toBe(110)
  })

  test('batches become smaller after the fourth in a row, down to one object, and whole after a success', () => {
    const { lane: products, put, take, fail } = lane({ maxBatchObjects: 8 })
    for (let n = 0; n < 100; n += 1) put(String(n))
    const sizes: number[] = []
    for (let n = 0; n < 10; n += 1) {
      fail(n * 10_000)
      sizes.push(take().length)
    }
    expect(sizes).toEqual([8, 8, 8, 8, 4, 2, 1, 1, 1, 1])
    products.succeeded(200_000)
    expect(take()).toHaveLength(8)
  })
})

describe('an object that fails again and again is to blame', () => {
  /** The numbers of the failures at which it was blamed; `others` says when another object got through. */
  function blamed(failures: number, others: (failure: number) => boolean): number[] {
    const { lane: products, put } = lane()
    const slot = put('1')
    const at: number[] = []
    for (let failure = 1; failure <= failures; failure += 1) {
      if (products.blames(slot, failure * 10)) at.push(failure)
      if (others(failure)) products.succeeded(failure * 10 + 1)
    }
    return at
  }

  test('after four failures with others and four alone, while others get through', () => {
    expect(blamed(9, () => true)).toEqual([8, 9])
  })

  test('where others got through once, in a namespace where nothing more happens', () => {
    expect(blamed(9, (failure) => failure === 1)).toEqual([8, 9])
    expect(blamed(12, (failure) => failure === 6)).toEqual([10, 11, 12])
  })

  test('never while nothing gets through, however often', () => {
    expect(blamed(1_000, () => false)).toEqual([])
  })

  test('not by requests that were under way when it failed first: the API may have gone away since', () => {
    const { lane: products, put } = lane()
    const slot = put('1')
    products.blames(slot, 10)
    products.succeeded(9)
    products.succeeded(10)
    const more = Array.from({ length: 1_000 }, (_, n) => products.blames(slot, 20 + n))
    expect(more).not.toContain(true)
  })

  test('not by its first failures after the API came back, however long the API was away', () => {
    expect(blamed(105, (failure) => failure === 100)).toEqual([104, 105])
  })

  test('from the start again, once it was accepted or parked', () => {
    const { lane: products, put } = lane()
    const slot = put('1')
    const fail = (times: number) =>
      Array.from({ length: times }, (_, n) => {
        products.succeeded(n * 10 + 5)
        return products.blames(slot, n * 10)
      })
    expect(fail(8).at(-1)).toBe(true)
    slot.failures = 0
    expect(fail(7)).not.toContain(true)
  })
})
