import { expect, test } from 'vitest'
import { connectEmulator, type Emulator } from '../../src/emulator/index.js'
import { add, emulatorForTest } from '../support/emulator.js'
import { finished, startImport, statusOf, upload, uploadedImport } from '../support/imports.js'

const statuses = (emulator: Emulator) => emulator.requests().map(({ status }) => status)
const versions = (emulator: Emulator, id: string) =>
  emulator.history('products', id).map(({ data, requestId }) => [data.n, requestId])

test('an import that lands overwrites what was accepted since its upload', async () => {
  const emulator = await emulatorForTest()
  emulator.imports.hold()
  const first = await add(emulator, 'products', { id: '1', n: 1 })
  const requestId = await uploadedImport(emulator, { id: '1', n: 'old' }, { id: '2', n: 'old' })
  const second = await add(emulator, 'products', { id: '1', n: 2 })

  expect((await statusOf(emulator, requestId)).body).toMatchObject({ status: 'ingesting', data_url: null })
  expect(emulator.object('products', '1')?.data.n).toBe(2)
  expect(emulator.object('products', '2')).toBeUndefined()
  expect(emulator.stats).toMatchObject({ acceptedObjects: 2, imports: { ingesting: 1, succeeded: 0 } })

  expect(emulator.imports.release(requestId)).toBe(1)
  expect(versions(emulator, '1')).toEqual([
    [1, first.body?.requestId],
    [2, second.body?.requestId],
    ['old', requestId],
  ])
  expect(versions(emulator, '2')).toEqual([['old', requestId]])
  expect((await statusOf(emulator, requestId)).body).toMatchObject({ status: 'succeeded', data_count: 2 })
  expect(emulator.stats).toMatchObject({ acceptedObjects: 4, imports: { ingesting: 0, succeeded: 1 } })

  const third = await add(emulator, 'products', { id: '1', n: 3 })
  expect(emulator.object('products', '1')).toMatchObject({ requestId: third.body?.requestId, versions: 4 })
})

test('an import lands by itself when its processing time has passed, and an add that comes then is newer', async () => {
  const emulator = await emulatorForTest({ processingMs: 10 ** 9, importProcessingMs: 1 })
  const requestId = await uploadedImport(emulator, { id: '1', n: 'old' })
  await new Promise((resolve) => setTimeout(resolve, 5))
  const { body } = await add(emulator, 'products', { id: '1', n: 1 })
  expect(versions(emulator, '1')).toEqual([
    ['old', requestId],
    [1, body?.requestId],
  ])
  expect(emulator.requests()).toMatchObject([
    { kind: 'import', status: 'succeeded' },
    { kind: 'add', status: 'queued' },
  ])
})

test('it lands though nobody asks: the map of objects is live', async () => {
  const emulator = await emulatorForTest({ importProcessingMs: 50 })
  await add(emulator, 'products', { id: '0' })
  const live = emulator.objects('products')
  await uploadedImport(emulator, { id: '1' })
  await expect.poll(() => live.has('1'), { timeout: 30_000 }).toBe(true)
})

test('imports take as long as adds where nothing else is said', async () => {
  const emulator = await emulatorForTest({ processingMs: 10 ** 9 })
  const requestId = await uploadedImport(emulator, { id: '1' })
  expect((await statusOf(emulator, requestId)).body?.status).toBe('ingesting')
  expect(emulator.objects('products').size).toBe(0)
})

test('imports land in the order in which they are released', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  emulator.imports.hold()
  const one = await uploadedImport(emulator, { id: '1', n: 1 })
  const two = await uploadedImport(emulator, { id: '1', n: 2 })
  const three = await uploadedImport(emulator, { id: '1', n: 3 })
  const { requestId: open } = await startImport(emulator)
  expect([emulator.imports.release(two), emulator.imports.release(two)]).toEqual([1, 0])
  expect([emulator.imports.release(open), emulator.imports.release('req_none')]).toEqual([0, 0])
  expect(statuses(emulator)).toEqual(['ingesting', 'succeeded', 'ingesting', 'uploading'])
  expect(emulator.imports.release()).toBe(2)
  expect(versions(emulator, '1')).toEqual([
    [2, two],
    [1, one],
    [3, three],
  ])
  const four = await uploadedImport(emulator, { id: '1', n: 4 })
  expect(emulator.object('products', '1')?.requestId).toBe(four)
})

test('an import that fails is told to have failed when it is processed, not before', async () => {
  const emulator = await emulatorForTest()
  emulator.imports.hold()
  const { requestId, upload_url } = await startImport(emulator)
  await upload(emulator, upload_url, '{"id":1}\n')
  expect((await statusOf(emulator, requestId)).body?.status).toBe('ingesting')
  emulator.imports.release()
  expect((await statusOf(emulator, requestId)).body?.status).toBe('failed')
  expect(emulator.stats.imports).toEqual({ uploading: 0, ingesting: 0, succeeded: 0, failed: 1, uploadedBytes: 9 })
})

test('imports are held, released and counted over HTTP', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const remote = connectEmulator(emulator.url)
  await remote.imports.hold()
  const one = await uploadedImport(emulator, { id: '1' })
  await uploadedImport(emulator, { id: '2' })
  await uploadedImport(emulator, { id: '3' })
  await startImport(emulator)
  expect((await remote.objects('products')).size).toBe(0)
  expect(await remote.imports.release(one)).toBe(1)
  expect([...(await remote.objects('products')).keys()]).toEqual(['1'])
  expect((await remote.stats()).imports).toEqual({
    uploading: 1,
    ingesting: 2,
    succeeded: 1,
    failed: 0,
    uploadedBytes: 33,
  })
  expect(await remote.imports.release()).toBe(2)
  expect([...(await remote.objects('products')).keys()]).toEqual(['1', '2', '3'])
})

test('reset() forgets imports that wait, and ends the hold', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  emulator.imports.hold()
  await uploadedImport(emulator, { id: '1' })
  emulator.reset()
  expect([emulator.imports.release(), emulator.objects('products').size]).toEqual([0, 0])
  await uploadedImport(emulator, { id: '2' })
  expect(emulator.objects('products').size).toBe(1)
})

test('without keepObjects an upload is checked and counted, and nothing of it is kept', async () => {
  const emulator = await emulatorForTest({ keepObjects: false })
  const requestId = await uploadedImport(emulator, { id: '1' }, { id: '2' })
  expect((await finished(emulator, requestId)).body).toMatchObject({ status: 'succeeded', data_count: 0 })
  const bad = await startImport(emulator)
  await upload(emulator, bad.upload_url, '{"id":"1"}\n{"id":"2",}\n')
  expect((await finished(emulator, bad.requestId)).body).toMatchObject({ error: 'line 2 is not valid JSON' })
  expect(emulator.requests()).toMatchObject([{ objectCount: 2 }, { objectCount: 0, status: 'failed' }])
  expect(emulator.stats).toMatchObject({ acceptedObjects: 2, imports: { succeeded: 1, failed: 1 } })
  expect(emulator.namespaces()).toEqual([])
})

test('an add while an upload of the same object is sent breaks no rule', async () => {
  const emulator = await emulatorForTest()
  const { upload_url } = await startImport(emulator)
  let finish = (): void => {}
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"id":"1"}\n'))
      finish = () => {
        controller.enqueue(new TextEncoder().encode('{"id":"2"}\n'))
        controller.close()
      }
    },
  })
  const headers = { 'content-type': 'application/json', 'content-length': '22' }
  const slow = fetch(upload_url, { method: 'PUT', headers, body, duplex: 'half' } as RequestInit)
  await expect.poll(() => emulator.stats.calls.upload, { timeout: 30_000 }).toBe(1)
  await add(emulator, 'products', { id: '1' })
  finish()
  expect((await slow).status).toBe(200)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(emulator.violations).toEqual([])
})
