import { expect, test } from 'vitest'
import { ask, emulatorForTest } from '../support/emulator.js'
import { finished, type StartedImport, startImport, upload } from '../support/imports.js'

const json = { 'content-type': 'application/json' }

test.each([
  '/v1/data/products/import',
  '/v1/data/products/requests/upload-url',
])('%s gives a URL, the upload stores every line, and the results are JSONL', async (path) => {
  const emulator = await emulatorForTest()
  const answer = await ask(emulator, path, { body: {} })
  expect(answer.body).toEqual({
    status: 'pending_upload',
    requestId: expect.stringMatching(/^req_/),
    objectKey: expect.any(String),
    upload_url: expect.stringContaining(`${emulator.url}/upload/`),
    expires_at: expect.stringMatching(/^\d{4}-.*Z$/),
  })
  const hours = (Date.parse(String(answer.body?.expires_at)) - Date.now()) / 3_600_000
  expect(Math.round(hours)).toBe(12)
  const { requestId, upload_url } = answer.body as unknown as StartedImport
  const before = await ask(emulator, `/v1/data/products/requests/${requestId}`, { method: 'GET' })
  expect(before.body).toMatchObject({ status: 'uploading', data_url: null, data_count: 0 })

  expect((await upload(emulator, upload_url, '{"id":"1","n":1}\n{"id":"2","text":"zwei\\n"}\n')).status).toBe(200)
  const { body } = await finished(emulator, requestId)
  expect(body).toEqual({
    namespace: 'products',
    request_id: requestId,
    status: 'succeeded',
    data_url: expect.any(String),
    data_count: 2,
    data_expires_at: expect.any(String),
  })
  expect([...emulator.objects('products').values()].map(({ id, requestId: by }) => [id, by])).toEqual([
    ['1', requestId],
    ['2', requestId],
  ])
  const results = await ask(emulator, String(body?.data_url), { method: 'GET', headers: {} })
  expect(
    results.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { id: '1', output: { actions: [], fields: {}, labels: [] }, url: expect.any(String) },
    { id: '2', output: { actions: [], fields: {}, labels: [] }, url: expect.any(String) },
  ])
})

test('lines that cross the chunks of a large upload arrive whole', async () => {
  const emulator = await emulatorForTest()
  const { requestId, upload_url } = await startImport(emulator)
  const lines = Array.from({ length: 20_000 }, (_, n) =>
    JSON.stringify({ id: String(n), text: `${n}é`.repeat(n % 97) }),
  )
  expect((await upload(emulator, upload_url, lines.join('\n'))).status).toBe(200)
  expect((await finished(emulator, requestId)).body).toMatchObject({ status: 'succeeded', data_count: 20_000 })
  expect([...emulator.objects('products').values()].map(({ data }) => JSON.stringify(data))).toEqual(lines)
})

test.each([
  ['{"id":"1"}\n{"id":\n{"id":"3"}\n', 'line 2 is not valid JSON'],
  ['{"id":"1"}\n\n{"id":"3"}\n', 'line 2 is not valid JSON'],
  ['{"id":"1"}\n{"n":1}\n{"id":7}\n', 'line 2 has no id; line 3 has an id that is not a string'],
  ['[{"id":"1"}]', 'line 1 is not a JSON object'],
  ['', 'there are no lines'],
])('bad lines make the whole import fail, by number: %j', async (lines, error) => {
  const emulator = await emulatorForTest()
  const { requestId, upload_url } = await startImport(emulator)
  expect((await upload(emulator, upload_url, lines, { ...json, 'content-length': String(lines.length) })).status).toBe(
    200,
  )
  expect((await finished(emulator, requestId)).body).toMatchObject({
    status: 'failed',
    data_url: null,
    data_count: 0,
    error,
  })
  expect(emulator.objects('products').size).toBe(0)
  expect(emulator.requests()).toMatchObject([{ requestId, status: 'failed', error, objectCount: 0 }])
})

test('a repeated upload is answered as the first, and not ingested again', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const { upload_url } = await startImport(emulator)
  for (const n of [1, 2]) expect((await upload(emulator, upload_url, `{"id":"1","n":${n}}\n`)).status).toBe(200)
  expect(emulator.history('products', '1').map(({ data }) => data.n)).toEqual([1])
})

test.each([
  ['an Authorization header', 400, { ...json, authorization: 'Bearer sk_emulator' }],
  ['another content type', 403, { 'content-type': 'application/x-ndjson' }],
])('an upload with %s is refused with %i, as object storage does', async (_what, status, headers) => {
  const emulator = await emulatorForTest()
  const { requestId, upload_url } = await startImport(emulator)
  const answer = await upload(emulator, upload_url, '{"id":"1"}\n', headers)
  expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/xml'])
  expect(emulator.requests()).toMatchObject([{ requestId, status: 'uploading' }])
})

test('a token that is sent to an upload URL is a violation', async () => {
  const emulator = await emulatorForTest()
  const { upload_url } = await startImport(emulator)
  await upload(emulator, upload_url, '{"id":"1"}\n', { ...json, authorization: 'Bearer sk_secret' })
  expect(emulator.violations).toEqual(['an Authorization header was sent to an upload URL'])
})

test('an upload in chunks, without Content-Length, is refused with 411', async () => {
  const emulator = await emulatorForTest()
  const { requestId, upload_url } = await startImport(emulator)
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"id":"1"}\n'))
      controller.close()
    },
  })
  const response = await fetch(upload_url, { method: 'PUT', headers: json, body, duplex: 'half' } as RequestInit)
  expect(response.status).toBe(411)
  expect(emulator.requests()).toMatchObject([{ requestId, status: 'uploading' }])
})

test('an upload to an expired or a forged URL is refused with 403', async () => {
  const expired = await emulatorForTest({ uploadTtlMs: -2_000 })
  const late = await upload(expired, (await startImport(expired)).upload_url, '{"id":"1"}\n')
  expect([late.status, late.text]).toEqual([403, expect.stringContaining('Request has expired')])

  const emulator = await emulatorForTest()
  const { upload_url } = await startImport(emulator)
  const longer = upload_url.replace(/expires=(\d+)/, (_all, seconds) => `expires=${Number(seconds) + 1}`)
  const unsigned = upload_url.slice(0, upload_url.indexOf('?'))
  for (const url of [longer, unsigned]) expect((await upload(emulator, url, '{"id":"1"}\n')).status).toBe(403)
  expect(emulator.objects('products').size).toBe(0)
})

test('an upload that breaks off stores nothing and can be repeated', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const { upload_url } = await startImport(emulator)
  const abort = new AbortController()
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{"id":"1"}\n')),
  })
  const broken = fetch(upload_url, {
    method: 'PUT',
    headers: { ...json, 'content-length': '1000' },
    body,
    duplex: 'half',
    signal: abort.signal,
  } as RequestInit)
  await expect.poll(() => emulator.stats.calls.upload, { timeout: 30_000 }).toBe(1)
  abort.abort()
  await expect(broken).rejects.toThrow()
  expect((await upload(emulator, upload_url, '{"id":"1","n":2}\n')).status).toBe(200)
  expect(emulator.history('products', '1').map(({ data }) => data.n)).toEqual([2])
})
