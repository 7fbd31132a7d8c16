import { expect, test } from 'vitest'
import { add, ask, emulatorForTest } from '../support/emulator.js'

test('an add answers in the words of the contract, and the object is there', async () => {
  const emulator = await emulatorForTest()
  const answer = await add(emulator, 'products', { id: '1', title: 'Lamp', tags: ['a', null, { b: 1 }] })
  expect(answer.status).toBe(200)
  expect(answer.body).toEqual({ requestId: expect.stringMatching(/^req_\w{16,}$/), status: 'accepted' })
  expect(emulator.object('products', '1')).toMatchObject({
    id: '1',
    data: { id: '1', title: 'Lamp', tags: ['a', null, { b: 1 }] },
    requestId: answer.body?.requestId,
    versions: 1,
  })
  expect(emulator.namespaces()).toEqual(['products'])
})

test('an id that is sent again is an update, and every version is kept with its request', async () => {
  const emulator = await emulatorForTest()
  const first = await add(emulator, 'products', [
    { id: '1', n: 1 },
    { id: '2', n: 1 },
  ])
  const second = await add(emulator, 'products', { id: '1', n: 2 })
  expect(
    emulator.history('products', '1').map(({ data, requestId, versions }) => [data.n, requestId, versions]),
  ).toEqual([
    [1, first.body?.requestId, 1],
    [2, second.body?.requestId, 2],
  ])
  expect([...emulator.objects('products').values()].map(({ id, data }) => [id, data.n])).toEqual([
    ['1', 2],
    ['2', 1],
  ])
})

test('without keepHistory the latest version alone is kept, with the count of all', async () => {
  const emulator = await emulatorForTest({ keepHistory: false })
  for (const n of [1, 2, 3]) await add(emulator, 'products', { id: '1', n })
  expect(emulator.history('products', '1').map(({ data, versions }) => [data.n, versions])).toEqual([[3, 3]])
})

test('of an id that is twice in one request, the last wins', async () => {
  const emulator = await emulatorForTest()
  expect(
    (
      await add(emulator, 'products', [
        { id: '1', n: 1 },
        { id: '1', n: 2 },
      ])
    ).status,
  ).toBe(200)
  expect(emulator.object('products', '1')).toMatchObject({ data: { n: 2 }, versions: 2 })
  expect(emulator.violations).toEqual([])
})

test('namespaces are case-sensitive and apart', async () => {
  const emulator = await emulatorForTest()
  await add(emulator, 'Products', { id: '1' })
  await add(emulator, 'products', { id: '2' })
  expect([...emulator.objects('Products').keys()]).toEqual(['1'])
  expect([...emulator.objects('products').keys()]).toEqual(['2'])
})

const json = { 'content-type': 'application/json', authorization: 'Bearer sk_emulator' }
test.each([
  [
    'no key',
    401,
    '/v1/data/products',
    { headers: { 'content-type': 'application/json' }, body: { data: { id: '1' } } },
  ],
  [
    'a wrong key',
    401,
    '/v1/data/products',
    { headers: { ...json, authorization: 'Bearer sk_other' }, body: { data: { id: '1' } } },
  ],
  ['a body that is not JSON', 400, '/v1/data/products', { body: '{"data":' }],
  ['a body that is not an object', 400, '/v1/data/products', { body: [{ id: '1' }] }],
  ['a missing data', 400, '/v1/data/products', { body: { id: '1' } }],
  ['an empty data', 400, '/v1/data/products', { body: { data: [] } }],
  ['an object without an id', 400, '/v1/data/products', { body: { data: [{ id: '1' }, { title: 'x' }] } }],
  ['an id that is a number', 400, '/v1/data/products', { body: { data: { id: 1 } } }],
  ['an empty id', 400, '/v1/data/products', { body: { data: { id: '' } } }],
  ['an object that is none', 400, '/v1/data/products', { body: { data: [{ id: '1' }, null] } }],
  ['a namespace with a bad character', 400, '/v1/data/pro%20ducts', { body: { data: { id: '1' } } }],
  [
    'another content type',
    415,
    '/v1/data/products',
    { headers: { ...json, 'content-type': 'text/plain' }, body: '{"data":{"id":"1"}}' },
  ],
  ['a body over the limit', 413, '/v1/data/products', { body: { data: { id: '1', text: 'x'.repeat(300_000) } } }],
  ['another method', 405, '/v1/data/products', { method: 'PATCH', body: { data: { id: '1' } } }],
  ['an unknown path', 404, '/v2/data/products', { body: { data: { id: '1' } } }],
  ['an unknown call', 404, '/v1/data/products/what', { body: {} }],
])('%s is refused with %i and JSON, and nothing is stored', async (_what, status, path, options) => {
  const emulator = await emulatorForTest({ maxBodyBytes: 100_000 })
  const answer = await ask(emulator, path, options)
  expect(answer.status).toBe(status)
  expect(answer.body).toEqual({ error: { code: expect.any(String), message: expect.any(String) } })
  expect(emulator.objects('products').size).toBe(0)
  expect(emulator.stats.statuses).toEqual({ [status]: 1 })
})

test('bytes that are not UTF-8 are refused', async () => {
  const emulator = await emulatorForTest()
  const body = Buffer.concat([Buffer.from('{"data":{"id":"'), Buffer.from([0xff]), Buffer.from('"}}')])
  const response = await fetch(`${emulator.url}/v1/data/products`, { method: 'POST', headers: json, body })
  expect(response.status).toBe(400)
})

test('a request goes from queued or ingesting to succeeded, and its data is empty until then', async () => {
  const emulator = await emulatorForTest({ processingMs: 300 })
  const { body } = await add(emulator, 'products', [{ id: 'a/b' }, { id: '2' }])
  const path = `/v1/data/products/requests/${body?.requestId}`
  const early = await ask(emulator, path, { method: 'GET' })
  if (early.body?.status !== 'succeeded')
    expect(early.body).toMatchObject({ status: expect.stringMatching(/queued|ingesting/), data: [] })

  await expect
    .poll(async () => (await ask(emulator, path, { method: 'GET' })).body?.status, { timeout: 30_000 })
    .toBe('succeeded')
  const { body: result } = await ask(emulator, path, { method: 'GET' })
  const output = { actions: [], fields: {}, labels: [] }
  expect(result).toEqual({
    namespace: 'products',
    request_id: body?.requestId,
    status: 'succeeded',
    data: [
      { id: 'a/b', output, url: expect.stringContaining('/emulator/objects/products/a%2Fb') },
      { id: '2', output, url: expect.any(String) },
    ],
  })
  expect(emulator.requests('products')).toMatchObject([{ kind: 'add', status: 'succeeded', objectCount: 2 }])
})

test('a request that takes for ever stays in processing', async () => {
  const emulator = await emulatorForTest({ processingMs: 10 ** 9 })
  const { body } = await add(emulator, 'products', { id: '1' })
  const answer = await ask(emulator, `/v1/data/products/requests/${body?.requestId}`, { method: 'GET' })
  expect(answer.body).toMatchObject({ status: 'queued', data: [] })
})

test('a request is found in its own namespace alone', async () => {
  const emulator = await emulatorForTest()
  const { body } = await add(emulator, 'products', { id: '1' })
  expect((await ask(emulator, `/v1/data/sellers/requests/${body?.requestId}`, { method: 'GET' })).status).toBe(404)
  expect((await ask(emulator, '/v1/data/products/requests/req_none', { method: 'GET' })).status).toBe(404)
  expect((await ask(emulator, `/v1/data/products/requests/${body?.requestId}`, { method: 'POST' })).status).toBe(405)
})

test('a status answer over 5 MiB is a 413', async () => {
  const emulator = await emulatorForTest({ processingMs: 0, maxBodyBytes: 10 ** 8 })
  const data = Array.from({ length: 40_000 }, (_, n) => ({ id: `object-${n}` }))
  const { body } = await add(emulator, 'products', data)
  expect((await ask(emulator, `/v1/data/products/requests/${body?.requestId}`, { method: 'GET' })).status).toBe(413)
})

test('every request has an id of its own', async () => {
  const emulator = await emulatorForTest()
  const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => add(emulator, 'products', { id: String(n) })))
  expect(new Set(answers.map((answer) => answer.body?.requestId)).size).toBe(200)
  expect(emulator.stats).toMatchObject({ acceptedObjects: 200, calls: { add: 200 }, statuses: { 200: 200 } })
})

test('a deletion request is noted', async () => {
  const emulator = await emulatorForTest()
  const body = { subject_user_id: 'user-1', external_request_id: 'ours-7', requested_at: '2025-01-02T03:04:05Z' }
  expect((await ask(emulator, '/v1/deletion_requests', { body })).body).toMatchObject({ status: 'accepted' })
  expect(emulator.deletionRequests()).toMatchObject([body])
  for (const wrong of [
    {},
    { subject_user_id: 7 },
    { ...body, requested_at: 'soon' },
    { ...body, external_request_id: 1 },
  ]) {
    expect((await ask(emulator, '/v1/deletion_requests', { body: wrong })).status).toBe(400)
  }
})
