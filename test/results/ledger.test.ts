import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Evaluation } from '../../src/evaluation.js'
import { evaluation, resultsRig } from './rig.js'

const keys = [{ source: 'public.products', namespace: 'products', column: 'id' }]
const failed = { code: 'REQUEST_FAILED', status: null, message: 'no' }
const apply = (given: Evaluation) => ({ namespace: 'products', requestId: given.requestId, evaluations: [given] })

test('an evaluation is written once, and is not new again', async () => {
  const rig = await resultsRig()
  await rig.record({ requestId: 'r1', ids: ['1', '2'] })
  const given = {
    namespace: 'products',
    requestId: 'r1',
    evaluations: [evaluation('1', 'r1'), evaluation('2', 'r1'), evaluation('3', 'r1')],
  }
  expect((await rig.evaluations.fresh(given)).map(({ objectId }) => objectId)).toEqual(['1', '2'])
  expect((await rig.evaluations.apply(given)).map(({ objectId }) => objectId)).toEqual(['1', '2'])
  const rows = await rig.objects()
  expect(rows).toMatchObject([
    {
      object_id: '1',
      status: 'succeeded',
      output: { labels: [{ label: 'fine' }], actions: [], fields: {} },
      url: 'https://safetykit.test/1',
      evaluated_request_id: 'r1',
      evaluated_at: expect.any(Date),
    },
    { object_id: '2' },
  ])
  expect(await rig.evaluations.fresh(given)).toEqual([])
  expect(await rig.evaluations.apply(given)).toEqual([])
  expect(await rig.objects()).toEqual(rows)
})

test('words that Postgres does not take are kept without what it refuses', async () => {
  const rig = await resultsRig()
  await rig.record({ requestId: 'r1', ids: ['1'] })
  const output = {
    labels: [{ label: 'a\u0000b', 'half\ud800': 'back\\u0000slash' }],
    actions: ['\udc00'],
    fields: {},
  }
  await rig.evaluations.apply(apply({ ...evaluation('1', 'r1'), output, url: 'x\u0000' }))
  expect(await rig.object('1')).toMatchObject({
    output: { labels: [{ label: 'ab', 'half\ufffd': 'back\\u0000slash' }], actions: ['\ufffd'] },
    url: 'x',
  })
})

test('a failed evaluation is replaced by one that succeeds under the same request, and not the other way round', async () => {
  const rig = await resultsRig()
  await rig.record({ requestId: 'r1', ids: ['1'] })
  const bad: Evaluation = { ...evaluation('1', 'r1'), status: 'failed', output: null, url: null, error: 'no' }
  expect(await rig.evaluations.apply(apply(bad))).toHaveLength(1)
  expect(await rig.object('1')).toMatchObject({ status: 'failed', output: null, evaluated_request_id: 'r1' })
  expect(await rig.evaluations.apply(apply(evaluation('1', 'r1')))).toHaveLength(1)
  expect(await rig.evaluations.apply(apply(bad))).toHaveLength(0)
  expect(await rig.object('1')).toMatchObject({ status: 'succeeded' })
})

test('in whichever order evaluations come, and however often, the one of the current request stays, else the newest', async () => {
  const rig = await resultsRig()
  const requests = ['r1', 'r2', 'r3', 'r4', 'r5']
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        // The request that the ledger has; 'r0' is one that is not evaluated.
        current: fc.constantFrom('r0', ...requests),
        ages: fc.shuffledSubarray([10, 20, 30, 40, 50], { minLength: 5 }),
        order: fc.array(fc.constantFrom(...requests), { minLength: 1, maxLength: 12 }),
        atOnce: fc.boolean(),
      }),
      async ({ current, ages, order, atOnce }) => {
        await rig.empty()
        for (const [index, requestId] of requests.entries()) {
          await rig.record({ requestId, ids: ['1'], age: ages[index]! })
        }
        await rig.record({ requestId: 'r0', ids: ['1'], age: 5 })
        await rig.db.query('UPDATE safetykit.objects SET request_id = $1', [current])
        const taken: Evaluation[] = []
        const one = async (requestId: string): Promise<void> => {
          taken.push(...(await rig.evaluations.apply(apply(evaluation('1', requestId, requestId)))))
        }
        if (atOnce) await Promise.all(order.map(one))
        else for (const requestId of order) await one(requestId)
        const newest = [...order].sort((a, b) => ages[requests.indexOf(a)]! - ages[requests.indexOf(b)]!)[0]
        const expected = order.includes(current) ? current : newest
        const row = await rig.object('1')
        expect(row?.evaluated_request_id).toBe(expected)
        expect(row?.output?.labels[0]?.label).toBe(expected)
        // Each is new at most once.
        expect(new Set(taken.map(({ requestId }) => requestId)).size).toBe(taken.length)
        expect(taken.some(({ requestId }) => requestId === expected)).toBe(true)
      },
    ),
    { numRuns: 60 },
  )
})

test('two processes that write the same objects at once wait for each other, and each is new for one of them', async () => {
  const rig = await resultsRig()
  const ids = Array.from({ length: 300 }, (_, index) => String(index))
  await rig.record({ requestId: 'r1', ids, age: 20 })
  await rig.record({ requestId: 'r2', ids, age: 10 })
  const given = (requestId: string, order: readonly string[]) => ({
    namespace: 'products',
    requestId,
    evaluations: order.map((id) => evaluation(id, requestId, requestId)),
  })
  const backwards = [...ids].reverse()
  const takes = await Promise.all([
    rig.evaluations.apply(given('r2', ids)),
    rig.evaluations.apply(given('r2', backwards)),
    rig.evaluations.apply(given('r1', ids)),
    rig.evaluations.apply(given('r1', backwards)),
  ])
  expect((takes[0]?.length ?? 0) + (takes[1]?.length ?? 0)).toBe(ids.length)
  for (const row of await rig.objects()) expect(row.evaluated_request_id).toBe('r2')
})

test('an object that someone is writing is evaluated once it is free', async () => {
  const rig = await resultsRig()
  await rig.record({ requestId: 'r1', ids: ['1', '2'] })
  const writer = await rig.db.client()
  await writer.query('BEGIN')
  await writer.query(`UPDATE safetykit.objects SET attempts = 0 WHERE object_id = '1'`)
  const applying = rig.evaluations.apply({
    namespace: 'products',
    requestId: 'r1',
    evaluations: [evaluation('1', 'r1'), evaluation('2', 'r1')],
  })
  await expect.poll(async () => (await rig.object('2'))?.status).toBe('succeeded')
  expect((await rig.object('1'))?.status).toBe(null)
  await writer.query('COMMIT')
  expect(await applying).toHaveLength(2)
  expect((await rig.object('1'))?.status).toBe('succeeded')
})

test('an import that has succeeded marks exactly the objects that have another request by now, once', async () => {
  const rig = await resultsRig()
  const composite = { b: { country: 'nl', code: '7' } }
  await rig.record({ requestId: 'older', ids: ['z'], kind: 'import', age: 100 })
  await rig.record({
    requestId: 'import',
    ids: ['a', 'b', 'c', 'd'],
    kind: 'import',
    age: 50,
    keys: composite,
    not: ['d'],
  })
  await rig.record({ requestId: 'live', ids: ['a', 'b', 'y'], age: 10 })
  // One that a live delivery was first with.
  await rig.record({ requestId: 'first', ids: ['d'], age: 60 })

  const counts = await Promise.all([1, 2, 3].map(() => rig.store.importSucceeded('import', keys)))
  expect(counts.filter((count) => count !== null)).toEqual([3])
  const marks = [
    { source: 'public.products', key: { country: 'nl', code: '7' }, force: true },
    { source: 'public.products', key: { id: 'a' }, force: true },
    { source: 'public.products', key: { id: 'd' }, force: true },
  ]
  expect(await rig.dirty()).toEqual(marks)
  expect(await rig.request('import')).toMatchObject({ status: 'succeeded', completed_at: null })
  expect(await rig.store.importSucceeded('import', keys)).toBe(null)
  expect(await rig.store.importFailed('import', failed, keys)).toBe(null)
  expect(await rig.dirty()).toEqual(marks)
})

test('an import that has failed forgets the content of the objects that are still under it, and marks them once', async () => {
  const rig = await resultsRig()
  await rig.record({ requestId: 'import', ids: ['a', 'b', 'c'], kind: 'import', age: 50 })
  await rig.record({ requestId: 'live', ids: ['b'], age: 10 })
  const counts = await Promise.all([1, 2].map(() => rig.store.importFailed('import', failed, keys)))
  expect(counts.filter((count) => count !== null)).toEqual([2])
  expect(await rig.dirty()).toEqual([
    { source: 'public.products', key: { id: 'a' }, force: false },
    { source: 'public.products', key: { id: 'c' }, force: false },
  ])
  expect(await rig.objects()).toMatchObject([
    { object_id: 'a', fingerprint: null, status: 'failed', evaluated_request_id: 'import' },
    { object_id: 'b', fingerprint: 'print', status: null },
    { object_id: 'c', fingerprint: null, status: 'failed' },
  ])
  expect(await rig.request('import')).toMatchObject({
    status: 'failed',
    error: { code: 'REQUEST_FAILED', message: 'no' },
    completed_at: expect.any(Date),
  })
})

test('a key that no mapping tells any more is left out', async () => {
  const rig = await resultsRig()
  await rig.record({ requestId: 'import', ids: ['a', 'b'], kind: 'import', age: 50, keys: { b: { n: '1' } } })
  await rig.record({ requestId: 'live', ids: ['a', 'b'], age: 10 })
  expect(await rig.store.importSucceeded('import', [])).toBe(1)
  expect(await rig.dirty()).toEqual([{ source: 'public.products', key: { n: '1' }, force: true }])
})

test('a request is due after half its age, from a second to an hour', async () => {
  const rig = await resultsRig()
  const ask = async (created: number, asked: number): Promise<boolean> => {
    await rig.empty()
    await rig.record({ requestId: 'r', ids: ['1'], age: created })
    await rig.db.query(`UPDATE safetykit.requests SET updated_at = now() - $1 * interval '1 second'`, [asked])
    const due = await rig.store.due({ following: 'poll', limit: 10, imports: true, except: [] })
    expect(await rig.store.isAnyDue('poll')).toBe(due.length > 0)
    return due.length > 0
  }
  expect(await ask(0, 0)).toBe(false)
  expect(await ask(1.5, 1.5)).toBe(true)
  expect(await ask(60, 15)).toBe(false)
  expect(await ask(60, 25)).toBe(true)
  const day = 86_400
  expect(await ask(day, 3_500)).toBe(false)
  expect(await ask(day, 3_700)).toBe(true)
  // A clock that is ahead of the database's.
  expect(await ask(-1, 2)).toBe(true)
})

test('with webhooks adds are due after ten minutes and imports until they have succeeded, without results imports alone', async () => {
  const rig = await resultsRig()
  await rig.record({ requestId: 'young', ids: ['1'], age: 30 })
  await rig.record({ requestId: 'old', ids: ['2'], age: 700 })
  await rig.record({ requestId: 'import', ids: ['3'], kind: 'import', age: 30 })
  const due = async (following: 'poll' | 'webhook' | 'off') =>
    (await rig.store.due({ following, limit: 10, imports: true, except: [] })).map(({ requestId }) => requestId).sort()
  expect(await due('poll')).toEqual(['import', 'old', 'young'])
  expect(await due('webhook')).toEqual(['import', 'old'])
  expect(await due('off')).toEqual(['import'])
  await rig.store.importSucceeded('import', keys)
  await rig.hurry()
  expect(await due('webhook')).toEqual(['old'])
  expect(await due('poll')).toEqual(['import', 'old', 'young'])
})
