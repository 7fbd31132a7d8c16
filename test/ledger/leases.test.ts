import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LeaseStore, partitions } from '../../src/ledger/leases.js'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'

let db: TestDatabase
let store: LeaseStore
const all = Array.from({ length: partitions }, (_, number) => `dirty ${number}`)

beforeAll(async () => {
  db = await createDatabase()
  await migrateLedger(await db.client(), 'safetykit')
  store = new LeaseStore({ pool: db.pool, schema: 'safetykit' })
})
beforeEach(async () => void (await db.query('TRUNCATE safetykit.leases')))
afterAll(() => db.drop())

const claim = async (holder: string, names = all, held = 0, through = 100n): Promise<string[]> =>
  (await store.claim({ holder, names, held, through })).claimed.map(({ name }) => name)
/** As if the holder had not renewed them for the time of a lease. */
const expire = (holder: string) =>
  db.query(`UPDATE safetykit.leases SET expires_at = clock_timestamp() - interval '1 ms' WHERE holder = $1`, [holder])

describe('leases', () => {
  test('one worker alone has all that it asks for, and nothing else', async () => {
    expect((await claim('a', ['dirty 3', 'dirty 5'])).sort()).toEqual(['dirty 3', 'dirty 5'])
    const rest = all.filter((name) => name !== 'dirty 3' && name !== 'dirty 5')
    expect((await claim('a', rest, 2)).sort()).toEqual(rest.sort())
  })

  test('what one has nobody else gets, until it is given back', async () => {
    await claim('a', ['dirty 3'])
    expect(await claim('b', ['dirty 3', 'dirty 4'])).toEqual(['dirty 4'])
    await store.release('b', ['dirty 3'])
    expect(await claim('b', ['dirty 3'], 1)).toEqual([])
    await store.release('a', ['dirty 3'])
    expect(await claim('b', ['dirty 3'], 1)).toEqual(['dirty 3'])
  })

  test('each gets an equal share among those that have something to do', async () => {
    await claim('a', [])
    await claim('b', [])
    expect(await claim('c')).toHaveLength(Math.ceil(partitions / 3))
    expect((await store.renew('a')).others).toBe(2)
    await store.leave('b')
    expect((await store.renew('a')).others).toBe(1)
    expect(await claim('c', all, 11)).toHaveLength(partitions / 2 - 11)
  })

  test('workers that ask at the same moment share without a conflict', async () => {
    const shares = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((holder) => claim(holder)))
    const claimed = shares.flat()
    expect(new Set(claimed).size).toBe(claimed.length)
  })

  test('a lease that was not renewed goes to who asks, with how far its holder may have sent', async () => {
    await claim('a', ['dirty 3'], 0, 500n)
    await store.advance('a', 900n)
    await expire('a')
    const { claimed } = await store.claim({ holder: 'b', names: ['dirty 3'], held: 0, through: 1_000n })
    expect(claimed).toEqual([{ name: 'dirty 3', doubted: 900n }])
    expect((await store.renew('a')).names).toEqual(new Set())
    expect((await store.renew('b')).names).toEqual(new Set(['dirty 3']))
  })

  test('a doubt outlives several holders, and ends when no key is left that it may be about', async () => {
    await claim('a', ['dirty 3'], 0, 900n)
    await expire('a')
    await claim('b', ['dirty 3'], 0, 300n)
    await expire('b')
    const third = await store.claim({ holder: 'c', names: ['dirty 3'], held: 0, through: 1n })
    expect(third.claimed).toEqual([{ name: 'dirty 3', doubted: 900n }])
    // Of a table that nobody maps any more: its key is still there.
    await db.query(`INSERT INTO safetykit.dirty (source, key) VALUES ('public.unmapped', '{"id": "1"}')`)
    await store.release('c', ['dirty 3'])
    const fourth = await store.claim({ holder: 'd', names: ['dirty 3'], held: 0, through: 1n })
    expect(fourth.claimed).toEqual([{ name: 'dirty 3', doubted: 900n }])
    await db.query('DELETE FROM safetykit.dirty')
    await store.release('d', ['dirty 3'])
    expect((await store.claim({ holder: 'e', names: ['dirty 3'], held: 0, through: 1n })).claimed[0]?.doubted).toBe(0n)
  })

  test('a late renewal keeps what nobody else has taken', async () => {
    await claim('a', ['dirty 3', 'dirty 4'])
    await expire('a')
    await claim('b', ['dirty 4'])
    expect((await store.renew('a')).names).toEqual(new Set(['dirty 3']))
    expect(await claim('b', ['dirty 3'], 1)).toEqual([])
  })

  test('a claim whose answer was lost is found again by its holder', async () => {
    await claim('a', ['dirty 3'])
    expect(await claim('a', ['dirty 3'])).toEqual(['dirty 3'])
    expect(await claim('b', ['dirty 3'])).toEqual([])
  })

  test('a single lease, of a scan, is taken by one', async () => {
    const taken = await Promise.all(['a', 'b', 'c'].map((holder) => store.acquire(holder, 'scan public.products')))
    expect(taken.filter((lease) => lease !== null)).toHaveLength(1)
  })
})
