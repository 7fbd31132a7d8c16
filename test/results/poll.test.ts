import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Evaluation } from '../../src/evaluation.js'
import { finished } from '../support/imports.js'
import { soon } from '../support/soon.js'
import { type ResultsRig, resultsRig } from './rig.js'

const numbered = (count: number): { id: string; title: string }[] =>
  Array.from({ length: count }, (_, index) => ({ id: String(index), title: `thing ${index}` }))

const completed = (rig: ResultsRig, requestId: string) =>
  soon(async () => {
    const request = await rig.request(requestId)
    expect(request.completed_at).not.toBe(null)
    return request
  })

test('the evaluations of an add come back to its objects, and as events', async () => {
  const rig = await resultsRig({ processingMs: 1_500 })
  const requestId = await rig.sent([
    { id: '1', title: 'a counterfeit watch' } as { id: string },
    { id: '2', title: 'a watch' } as { id: string },
  ])
  rig.follow()
  expect(await completed(rig, requestId)).toMatchObject({ status: 'succeeded', error: null })
  expect(await rig.objects()).toMatchObject([
    { status: 'succeeded', output: { labels: [{ label: 'counterfeit', confidence: 0.9 }], actions: ['remove'] } },
    { status: 'succeeded', output: { labels: [], actions: [] }, evaluated_request_id: requestId },
  ])
  expect(rig.told).toMatchObject([
    { namespace: 'products', objectId: '1', requestId, status: 'succeeded', output: { actions: ['remove'] } },
    { objectId: '2' },
  ])
  expect(rig.failures).toEqual([])
})

test('a request is not asked about any more once it is completed, and less often as it ages', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.sent([{ id: '1' }])
  const old = await rig.sent([{ id: '2' }])
  await rig.age(old, '1 day')
  await rig.db.query(`UPDATE safetykit.requests SET updated_at = now() - interval '30 minutes' WHERE request_id = $1`, [
    old,
  ])
  rig.follow()
  await completed(rig, requestId)
  await sleep(4_500)
  expect(rig.emulator.stats.calls.status).toBe(1)
})

test('with nothing open the API is not asked, and no lease is taken', async () => {
  const rig = await resultsRig()
  rig.follow()
  await sleep(4_500)
  expect(rig.emulator.stats.calls.status).toBe(0)
  expect((await rig.db.query('SELECT FROM safetykit.leases')).rowCount).toBe(0)
})

test('of several processes one follows, and another takes over when it stops', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const processes = [rig.follow(), rig.follow(), rig.follow()]
  const first = await Promise.all([1, 2, 3, 4].map((id) => rig.sent([{ id: String(id) }])))
  for (const requestId of first) await completed(rig, requestId)
  expect(rig.told).toHaveLength(4)
  expect(rig.emulator.stats.calls.status).toBe(4)
  await Promise.all(processes.slice(1).map((one) => one.stop()))
  const more = await rig.sent([{ id: '5' }])
  await completed(rig, more)
  expect(rig.told).toHaveLength(5)
})

test('an API that is away or asks for less is left alone for a while, as a whole', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const away = rig.emulator.faults.add({ when: { path: 'status', times: 3 }, do: { status: 503 } })
  const requests = await Promise.all(numbered(40).map((object) => rig.sent([object])))
  rig.follow()
  await soon(() => expect(away.hits).toBe(3))
  const throttled = rig.emulator.faults.add({
    when: { path: 'status', times: 1 },
    do: { status: 429, retryAfter: '3' },
  })
  await soon(() => expect(throttled.hits).toBe(1))
  // What was under way beside it is answered still.
  await sleep(500)
  const asked = rig.emulator.stats.calls.status
  await sleep(1_500)
  expect(rig.emulator.stats.calls.status).toBe(asked)
  for (const requestId of requests) await completed(rig, requestId)
  expect(rig.logged('error')).toEqual([])
})

test('results that are too large for an answer are told, and the request is completed', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  rig.emulator.faults.add({ when: { path: 'status' }, do: { reject: 413, message: 'too large' } })
  const requestId = await rig.sent([{ id: '1' }])
  rig.follow()
  expect(await completed(rig, requestId)).toMatchObject({
    status: 'succeeded',
    error: { code: 'ANSWER_TOO_LARGE', status: 413, hint: expect.stringContaining('maxBatchObjects') },
  })
  expect(rig.logged('warn')).toMatchObject([{ fields: { requestId } }])
  expect(await rig.object('1')).toMatchObject({ status: null })
})

test('a request that has failed is told with the words of the API, and its objects are failed', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.sent([{ id: '1', title: '[evaluation fails]' } as { id: string }])
  const seen: Evaluation[] = []
  rig.follow({ onResult: (evaluation) => void seen.push(evaluation) })
  const message = 'The object could not be evaluated.'
  expect(await completed(rig, requestId)).toMatchObject({
    status: 'failed',
    error: { code: 'REQUEST_FAILED', message, at: expect.any(String) },
  })
  expect(await rig.object('1')).toMatchObject({ status: 'failed', output: null, evaluated_request_id: requestId })
  expect(seen).toMatchObject([{ objectId: '1', status: 'failed', output: null, error: message }])
  expect(rig.told).toEqual(seen)
  expect(rig.logged('warn')).toMatchObject([{ fields: { requestId, kind: 'add', reason: message } }])
})

test('a request that the API does not know is asked about again until it is ten minutes old', async () => {
  const rig = await resultsRig()
  await rig.record({ requestId: 'req_young', ids: ['1'] })
  await rig.record({ requestId: 'req_old', ids: ['2'], age: 700 })
  rig.follow()
  expect(await completed(rig, 'req_old')).toMatchObject({
    status: 'accepted',
    error: { code: 'API_REJECTED', status: 404 },
  })
  await soon(() => expect(rig.emulator.stats.calls.status).toBeGreaterThanOrEqual(3))
  expect(await rig.request('req_young')).toMatchObject({ completed_at: null, error: null })
  expect(rig.logged('warn')).toMatchObject([{ fields: { requestId: 'req_old', status: 404 } }])
})

test('an import that the API does not know was not taken over, so its objects are sent again', async () => {
  const rig = await resultsRig()
  await rig.record({ requestId: 'req_old', ids: ['2'], age: 700, kind: 'import' })
  rig.follow()
  expect(await completed(rig, 'req_old')).toMatchObject({ status: 'failed', error: { status: 404 } })
  expect(await rig.dirty()).toMatchObject([{ key: { id: '2' }, force: false }])
  expect(rig.woken()).toBe(1)
})

test('what is not finished after seven days is given up, and told once', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  for (const id of ['1', '2', '3']) await rig.record({ requestId: `req_${id}`, ids: [id], age: 8 * 86_400 })
  rig.follow()
  expect(await completed(rig, 'req_3')).toMatchObject({ error: { code: 'RESULTS_MISSING' } })
  await sleep(2_500)
  expect(rig.logged('warn')).toMatchObject([{ fields: { requests: 3 } }])
  expect(rig.emulator.stats.calls.status).toBe(0)
})

test('an older request whose result comes late does not replace that of a newer one', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const older = await rig.sent([{ id: '1', title: 'weapon' } as { id: string }], { age: 60 })
  await rig.db.query(`UPDATE safetykit.requests SET updated_at = now() + interval '1 hour' WHERE request_id = $1`, [
    older,
  ])
  const newer = await rig.sent([{ id: '1', title: 'counterfeit' } as { id: string }])
  rig.follow()
  await completed(rig, newer)
  await rig.hurry()
  await completed(rig, older)
  expect(await rig.object('1')).toMatchObject({ evaluated_request_id: newer, output: { actions: ['remove'] } })
  expect(rig.told.map(({ requestId }) => requestId)).toEqual([newer])
})

test('a key that the API refuses ends it, as it ends the delivery', async () => {
  const rig = await resultsRig()
  rig.emulator.faults.add({ when: { path: 'status' }, do: { status: 401 } })
  await rig.sent([{ id: '1' }])
  rig.follow()
  await soon(() => expect(rig.failures[0]).toMatchObject({ code: 'API_UNAUTHORIZED' }))
})

test('an onResult that throws has the evaluation again later; the others are recorded', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.sent(numbered(5))
  const calls: string[] = []
  rig.follow({
    async onResult({ objectId, ...rest }) {
      calls.push(objectId)
      expect(rest).toMatchObject({ namespace: 'products', requestId, status: 'succeeded' })
      await sleep(5)
      if (objectId === '3' && calls.filter((id) => id === '3').length < 3) throw new Error('no mail server')
    },
  })
  await soon(async () => expect((await rig.object('2'))?.status).toBe('succeeded'))
  expect((await rig.object('3'))?.status).toBe(null)
  await completed(rig, requestId)
  expect(calls.sort()).toEqual(['0', '1', '2', '3', '3', '3', '4'])
  expect(rig.told).toHaveLength(5)
  const errors = rig.logged('error')
  expect(errors).toHaveLength(2)
  expect(errors).toMatchObject([{ fields: { requestId, error: { message: 'no mail server' } } }, {}])
})

test('an onResult that never ends does not keep it from stopping, and its evaluation is not recorded', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  await rig.sent([{ id: '1' }])
  let called = false
  const following = rig.follow({
    onResult: () => {
      called = true
      return new Promise(() => {})
    },
  })
  await soon(() => expect(called).toBe(true))
  await following.stop()
  expect(await rig.object('1')).toMatchObject({ status: null })
})

test('answers that are not as the contract has them are asked for again, and unknown fields are let through', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.sent([{ id: '1' }, { id: '2' }])
  const answer = (data: unknown) =>
    rig.emulator.faults.add({
      when: { path: 'status', times: 1 },
      do: { status: 200, body: { namespace: 'products', request_id: requestId, status: 'succeeded', news: 1, data } },
    })
  rig.emulator.faults.add({ when: { path: 'status', times: 1 }, do: { garbage: true } })
  answer([{ id: '1', output: { labels: [{ label: 'new', why: 'because' }], score: 3 }, metadata: {} }, { output: {} }])
  rig.follow()
  await completed(rig, requestId)
  expect(await rig.object('1')).toMatchObject({
    output: { labels: [{ label: 'new', why: 'because' }], actions: [], fields: {}, score: 3 },
  })
  expect(await rig.object('2')).toMatchObject({ status: 'succeeded' })
  expect(rig.logged('warn')).toMatchObject([{ fields: { requestId, results: 1 } }])
})

test('results that cannot be recorded do not keep others from it', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  await rig.db.query(`ALTER TABLE safetykit.objects ADD CHECK (output::text NOT LIKE '%counterfeit%')`)
  const bad: string[] = []
  for (let id = 0; id < 70; id += 1) {
    bad.push(await rig.sent([{ id: String(id), title: 'counterfeit' } as { id: string }], { age: 5 }))
  }
  const good = await rig.sent([{ id: 'good' }])
  rig.follow()
  await completed(rig, good)
  expect((await rig.request(String(bad[0]))).completed_at).toBe(null)
  expect(rig.logged('error').length).toBeGreaterThanOrEqual(70)
})

test('the results of an import are read from its URL, without the key', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.imported(numbered(3_000))
  rig.follow()
  expect(await completed(rig, requestId)).toMatchObject({ status: 'succeeded' })
  const rows = await rig.objects()
  expect(rows.filter(({ status, url }) => status === 'succeeded' && url !== null)).toHaveLength(3_000)
  expect(rig.told).toHaveLength(3_000)
  expect(rig.emulator.violations).toEqual([])
})

test('results of an import that break off, expire or have a broken line are asked for anew, and none is taken twice', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.imported(numbered(1_200))
  await finished(rig.emulator, requestId)
  const line = (id: string) => JSON.stringify({ id, output: {}, url: null })
  const faults = [
    rig.emulator.faults.add({ when: { path: 'results', times: 1 }, do: { resetMidway: true } }),
    rig.emulator.faults.add({ when: { path: 'results', times: 1 }, do: { status: 403 } }),
    rig.emulator.faults.add({
      when: { path: 'results', times: 1 },
      do: { garbage: `${line('7')}\n{"id": 8\n\n${line('9')}` },
    }),
  ]
  const calls: string[] = []
  rig.follow({ onResult: ({ objectId }) => void calls.push(objectId) })
  await completed(rig, requestId)
  expect(faults.map(({ hits }) => hits)).toEqual([1, 1, 1])
  expect(calls).toHaveLength(1_200)
  expect(new Set(calls).size).toBe(1_200)
  expect(rig.told).toHaveLength(1_200)
  expect(rig.logged('warn')).toHaveLength(3)
  expect(JSON.stringify(rig.log)).not.toContain('/results/')
})

test('a process that stops between two batches leaves the rest to the next one', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.imported(numbered(2_000))
  const calls: string[] = []
  let stopped = false
  const first = rig.follow({
    onResult: async ({ objectId }) => {
      if (calls.length >= 700) {
        stopped = true
        await new Promise(() => {})
      }
      calls.push(objectId)
    },
  })
  await soon(() => expect(stopped).toBe(true))
  await first.stop()
  const before = (await rig.objects()).filter(({ status }) => status !== null).length
  expect(before).toBeGreaterThanOrEqual(500)
  expect(before).toBeLessThan(2_000)
  expect(await rig.request(requestId)).toMatchObject({ status: 'succeeded', completed_at: null })

  rig.follow({ onResult: ({ objectId }) => void calls.push(objectId) })
  await completed(rig, requestId)
  expect(new Set(calls).size).toBe(2_000)
  expect(rig.told).toHaveLength(2_000)
})

test('adds are asked about while the results of a large import are read', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.imported(numbered(1_000))
  let letGo = (): void => {}
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  let reading = false
  rig.follow({
    onResult: async ({ objectId }) => {
      if (objectId === 'live') return
      reading = true
      await held
    },
  })
  await soon(() => expect(reading).toBe(true))
  await completed(rig, await rig.sent([{ id: 'live' }]))
  // Longer than the lease lasts by itself.
  await sleep(8_000)
  const { rows } = await rig.db.query(`SELECT expires_at > now() AS held FROM safetykit.leases WHERE name = 'results'`)
  expect(rows).toEqual([{ held: true }])
  letGo()
  await completed(rig, requestId)
})

test('one that rests has given its lease back, also in the middle of an import, and goes on from there', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.imported(numbered(2_000))
  let reading = false
  let letGo = (): void => {}
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const following = rig.follow({
    async onResult() {
      reading = true
      await held
    },
  })
  await soon(() => expect(reading).toBe(true))
  const holders = async () =>
    (await rig.db.query("SELECT FROM safetykit.leases WHERE name = 'results' AND holder IS NOT NULL")).rowCount
  expect(await holders()).toBe(1)
  const rested = following.rest()
  letGo()
  await rested
  expect(await holders()).toBe(0)
  expect(await rig.request(requestId)).toMatchObject({ completed_at: null })
  expect(await completed(rig, requestId)).toMatchObject({ status: 'succeeded' })
  await following.stop()
  expect(await holders()).toBe(0)
  expect(rig.logged('error')).toEqual([])
})

test('when an import has succeeded, what was sent meanwhile is marked to be sent again, whatever results says', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  for (const results of ['off', 'webhook', 'poll'] as const) {
    await rig.empty()
    rig.emulator.imports.hold()
    const requestId = await rig.imported(numbered(10), { age: 30 })
    await rig.record({ requestId: 'live', ids: ['3', '4'] })
    await rig.db.query(`UPDATE safetykit.requests SET completed_at = now() WHERE request_id = 'live'`)
    const asked = rig.emulator.stats.calls.status
    const following = rig.follow({ results })
    await soon(() => expect(rig.emulator.stats.calls.status).toBeGreaterThan(asked))
    expect(await rig.dirty()).toEqual([])
    await rig.hurry()
    const woken = rig.woken()
    rig.emulator.imports.release()
    await soon(async () =>
      expect(await rig.dirty()).toMatchObject([{ key: { id: '3' }, force: true }, { key: { id: '4' } }]),
    )
    await soon(() => expect(rig.woken()).toBe(woken + 1))
    expect((await rig.request(requestId)).status).toBe('succeeded')
    if (results !== 'webhook') await completed(rig, requestId)
    await following.stop()
    expect((await rig.objects()).filter(({ status }) => status !== null)).toHaveLength(results === 'poll' ? 10 : 0)
  }
})

test('an import that failed is told, and its objects are sent one by one', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  rig.emulator.faults.add({ when: { path: 'upload' }, do: { reject: 400, message: 'line 1 is not JSON' } })
  const requestId = await rig.imported([{ id: '1' }, { id: '2' }])
  rig.follow({ results: 'off' })
  expect(await completed(rig, requestId)).toMatchObject({ status: 'failed', error: { message: 'line 1 is not JSON' } })
  expect(await rig.dirty()).toMatchObject([{ key: { id: '1' } }, { key: { id: '2' } }])
  expect(rig.logged('warn')).toMatchObject([{ fields: { requestId, kind: 'import', sentAgain: 2 } }])
  expect(rig.woken()).toBe(1)
})

test('without results adds are closed, and nobody is asked', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const requestId = await rig.sent([{ id: '1' }])
  rig.follow({ results: 'off' })
  expect(await completed(rig, requestId)).toMatchObject({ status: 'accepted', error: null })
  expect(rig.emulator.stats.calls.status).toBe(0)
})

test('with webhooks, requests that they have answered are not asked about, and others after ten minutes', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const answered = await rig.sent(numbered(3))
  const silent = await rig.sent([{ id: 'silent' }])
  const young = await rig.sent([{ id: 'young' }])
  const imported = await rig.imported([{ id: 'imported' }])
  await rig.evaluations.apply({
    namespace: 'products',
    requestId: answered,
    evaluations: numbered(3).map(({ id: objectId }) => ({
      namespace: 'products',
      objectId,
      requestId: answered,
      status: 'succeeded',
      output: null,
      url: null,
      error: null,
    })),
  })
  for (const requestId of [answered, silent, imported]) await rig.age(requestId, '11 minutes')
  rig.follow({ results: 'webhook' })
  for (const requestId of [answered, silent, imported]) {
    expect(await completed(rig, requestId)).toMatchObject({ status: 'succeeded' })
  }
  expect(await rig.object('silent')).toMatchObject({ status: 'succeeded' })
  expect(await rig.object('imported')).toMatchObject({ status: 'succeeded' })
  expect(await rig.object('young')).toMatchObject({ status: null })
  expect(await rig.request(young)).toMatchObject({ completed_at: null })
  expect(rig.emulator.stats.calls.status).toBe(2)
})
