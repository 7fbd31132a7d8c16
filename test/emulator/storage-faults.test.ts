import { expect, test } from 'vitest'
import { connectEmulator, type Emulator } from '../../src/emulator/index.js'
import { ask, emulatorForTest } from '../support/emulator.js'
import { finished, startImport, statusOf, upload, uploadedImport } from '../support/imports.js'

const lines = Array.from({ length: 20_000 }, (_, n) => `{"id":"${n}","text":"${'x'.repeat(100)}"}\n`).join('')

/** `'gone'` is a connection that broke. */
const orGone = (answer: Promise<{ status: number }>): Promise<number | 'gone'> =>
  answer.then(
    ({ status }) => status,
    () => 'gone' as const,
  )

const results = async (emulator: Emulator, requestId: string) => {
  const { body } = await finished(emulator, requestId)
  return ask(emulator, String(body?.data_url), { method: 'GET', headers: {} })
}

test.each([
  403, 411, 500, 503,
])('an upload is refused with %i and XML, stores nothing, and can be repeated', async (status) => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const { requestId, upload_url } = await startImport(emulator)
  emulator.faults.add({ when: { path: 'upload', namespace: 'products', times: 1 }, do: { status } })
  const answer = await upload(emulator, upload_url, lines)
  expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/xml'])
  expect((await statusOf(emulator, requestId)).body?.status).toBe('uploading')
  expect((await upload(emulator, upload_url, lines)).status).toBe(200)
  expect(emulator.objects('products').size).toBe(20_000)
})

test('an upload whose connection is reset in the middle stores nothing, and can be repeated', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const { requestId, upload_url } = await startImport(emulator)
  const other = await startImport(emulator, '/v1/data/sellers/import')
  const fault = emulator.faults.add({
    when: { path: 'upload', namespace: 'products', times: 1 },
    do: { resetMidway: true },
  })
  expect((await upload(emulator, other.upload_url, '{"id":"1"}\n')).status).toBe(200)
  expect(await orGone(upload(emulator, upload_url, lines))).toBe('gone')
  expect([fault.hits, (await statusOf(emulator, requestId)).body?.status]).toEqual([1, 'uploading'])
  expect((await upload(emulator, upload_url, lines)).status).toBe(200)
  expect(emulator.objects('products').size).toBe(20_000)
})

test('an upload that is taken, but never answered or reset after that, is not to be repeated', async () => {
  for (const action of [{ hangAfterAccept: true }, { resetAfterAccept: true }] as const) {
    const emulator = await emulatorForTest({ processingMs: 0 })
    const { requestId, upload_url } = await startImport(emulator)
    emulator.faults.add({ when: { path: 'upload' }, do: action })
    const waiting = orGone(upload(emulator, upload_url, lines))
    await expect.poll(() => emulator.objects('products').size, { timeout: 30_000 }).toBe(20_000)
    expect((await statusOf(emulator, requestId)).body?.status).toBe('succeeded')
    emulator.reset()
    expect(await waiting).toBe('gone')
  }
})

test('the status of a request is refused, cut off or never answered, and is then as it was', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const requestId = await uploadedImport(emulator, { id: '1' })
  const when = { path: 'status', namespace: 'products', times: 1 } as const
  for (const status of [403, 411, 500]) {
    emulator.faults.add({ when, do: { status } })
    expect((await statusOf(emulator, requestId)).status).toBe(status)
  }
  for (const action of [{ reset: true }, { resetMidway: true }] as const) {
    emulator.faults.add({ when, do: action })
    expect(await orGone(statusOf(emulator, requestId))).toBe('gone')
  }
  const hang = emulator.faults.add({ when, do: { hangAfterAccept: true } })
  const signal = AbortSignal.timeout(200)
  const path = `/v1/data/products/requests/${requestId}`
  expect(await orGone(ask(emulator, path, { method: 'GET', signal }))).toBe('gone')
  expect(hang.hits).toBe(1)
  expect((await statusOf(emulator, requestId)).body?.status).toBe('succeeded')
})

test('results are refused, cut off in the middle of a line or never answered, and can be read again', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const { requestId, upload_url } = await startImport(emulator)
  await upload(emulator, upload_url, lines)
  const when = { path: 'results', namespace: 'products', times: 1 } as const
  for (const status of [403, 500]) {
    emulator.faults.add({ when, do: { status } })
    const answer = await results(emulator, requestId)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/xml'])
  }
  emulator.faults.add({ when, do: { resetMidway: true } })
  const response = await fetch(String((await statusOf(emulator, requestId)).body?.data_url))
  let text = ''
  const reading = (async () => {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString()
  })()
  await expect(reading).rejects.toThrow()
  expect(response.status).toBe(200)
  expect(text.length).toBeGreaterThan(1_000)
  expect(text.endsWith('\n')).toBe(false)

  emulator.faults.add({ when, do: { garbage: true } })
  expect((await results(emulator, requestId)).text).toContain('<!doctype html>')
  expect((await results(emulator, requestId)).text.trimEnd().split('\n').length).toBe(20_000)
})

test('URLs expire on demand: those of one import, or all that were given out', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const remote = connectEmulator(emulator.url)
  const one = await startImport(emulator)
  const two = await startImport(emulator)
  const three = await startImport(emulator)
  emulator.imports.expireUrls(one.requestId)
  const late = await upload(emulator, one.upload_url, '{"id":"1"}\n')
  expect([late.status, late.text]).toEqual([403, expect.stringContaining('Request has expired')])
  expect((await upload(emulator, two.upload_url, '{"id":"2"}\n')).status).toBe(200)

  const url = String((await statusOf(emulator, two.requestId)).body?.data_url)
  await remote.imports.expireUrls(two.requestId)
  expect((await ask(emulator, url, { method: 'GET', headers: {} })).status).toBe(403)
  expect((await results(emulator, two.requestId)).status).toBe(200)

  await remote.imports.expireUrls()
  expect((await upload(emulator, three.upload_url, '{"id":"3"}\n')).status).toBe(403)
  const four = await startImport(emulator)
  expect((await upload(emulator, four.upload_url, '{"id":"4"}\n')).status).toBe(200)
  expect(emulator.stats.imports).toMatchObject({ uploading: 2, succeeded: 2 })
})
