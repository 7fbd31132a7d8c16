import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { SafetyKitClient } from '../../src/delivery/client.js'
import { importState, type SendPartOptions, sendPart } from '../../src/delivery/import/send-part.js'
import { ObjectStorage } from '../../src/delivery/import/storage.js'
import type { Emulator, EmulatorOptions } from '../../src/emulator/index.js'
import { emulatorForTest } from '../support/emulator.js'
import { type LogLine, memoryLogger } from '../support/memory-logger.js'
import { spoolForTest } from '../support/spool.js'

interface Rig {
  readonly emulator: Emulator
  readonly log: LogLine[]
  readonly started: string[]
  readonly stop: AbortController
  send(overrides?: Partial<SendPartOptions>): ReturnType<typeof sendPart>
  state(requestId: string): ReturnType<typeof importState>
}

async function rig(objects = 3, options: EmulatorOptions = {}): Promise<Rig> {
  const emulator = await emulatorForTest(options)
  const spool = await spoolForTest()
  const part = spool.create()
  for (let n = 1; n <= objects; n += 1) {
    const json = JSON.stringify({ id: String(n), title: `Stuhl № ${n}` })
    const object = { id: String(n), json, fingerprint: 'f', lsn: null, expected: null, key: null }
    part.add(object)
  }
  const { name, bytes } = await part.finish()
  const { url: baseUrl, apiKey } = emulator
  const client = new SafetyKitClient({ baseUrl, apiKey, timeoutMs: 30_000, maxConnections: 2 })
  const storage = new ObjectStorage()
  onTestFinished(async () => {
    await client.destroy()
    await storage.destroy()
  })
  const log: LogLine[] = []
  const started: string[] = []
  const stop = new AbortController()
  const all: SendPartOptions = {
    client,
    storage,
    namespace: 'products',
    file: spool.dataFile(name),
    bytes,
    retry: { retryBaseMs: 5, retryMaxMs: 20 },
    onStarted: async ({ requestId }) => void started.push(requestId),
    signal: stop.signal,
    logger: memoryLogger(log),
  }
  return {
    emulator,
    log,
    started,
    stop,
    send: (overrides) => sendPart({ ...all, ...overrides }),
    state: (requestId) => importState({ requestId, namespace: 'products' }, all),
  }
}

const landed = (emulator: Emulator, ids: number) =>
  expect.poll(() => emulator.objects('products').size, { timeout: 30_000 }).toBe(ids)

test('a file is uploaded as it is, with its length, its type and without the key', async () => {
  const { emulator, send, started } = await rig()
  const { requestId } = await send()
  expect(started).toEqual([requestId])
  await landed(emulator, 3)
  expect(emulator.object('products', '2')).toMatchObject({ data: { id: '2', title: 'Stuhl № 2' }, requestId })
  expect(emulator.violations).toEqual([])
})

test.each([500, 503, 429, 408])('an upload that is answered %i is tried again with the same URL', async (status) => {
  const { emulator, send, started } = await rig()
  emulator.faults.add({ when: { path: 'upload', times: 2 }, do: { status } })
  await send()
  await landed(emulator, 3)
  expect([started.length, emulator.stats.calls.import, emulator.stats.calls.upload]).toEqual([1, 1, 3])
})

test('an upload whose connection breaks in the middle is tried again', async () => {
  const { emulator, send } = await rig(20_000)
  emulator.faults.add({ when: { path: 'upload', times: 2 }, do: { resetMidway: true } })
  await send()
  await landed(emulator, 20_000)
})

test('for a URL that has expired another one is asked for, and is told before it is used', async () => {
  const { emulator, send, started, log } = await rig()
  emulator.faults.add({ when: { path: 'upload', times: 2 }, do: { status: 403, body: 'Request has expired' } })
  const { requestId } = await send()
  expect(started).toHaveLength(3)
  expect(started.at(-1)).toBe(requestId)
  await landed(emulator, 3)
  expect(JSON.stringify(log)).not.toContain('signature=')
})

test('URLs that are all refused are told, with what may be behind it', async () => {
  const { emulator, send } = await rig()
  emulator.faults.add({ when: { path: 'upload' }, do: { status: 403 } })
  const failure = await send().catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'UPLOAD_REFUSED', hint: expect.stringContaining('proxy') })
  expect(emulator.stats.calls.upload).toBe(4)
  expect(String((failure as Error).stack)).not.toContain('/upload/')
})

test.each([411, 400])('an upload that is answered %i is given up at once', async (status) => {
  const { emulator, send } = await rig()
  emulator.faults.add({ when: { path: 'upload' }, do: { status } })
  await expect(send()).rejects.toMatchObject({
    code: 'UPLOAD_REFUSED',
    message: expect.stringContaining(String(status)),
  })
  expect(emulator.stats.calls.upload).toBe(1)
})

test('an upload that was taken, of which the answer was lost, is not sent as a second import', async () => {
  const { emulator, send, started } = await rig()
  emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { resetAfterAccept: true } })
  // As storage does that has the object by now and has closed the URL.
  emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { status: 403 } })
  await send()
  await landed(emulator, 3)
  expect([started.length, emulator.stats.calls.import]).toEqual([1, 1])
})

test('a key that is refused ends it', async () => {
  const { emulator, send } = await rig()
  emulator.faults.add({ when: { path: 'import' }, do: { status: 401 } })
  await expect(send()).rejects.toMatchObject({ code: 'API_UNAUTHORIZED' })
})

test('an API that is away is waited for, and a stop is heeded meanwhile', async () => {
  const { emulator, send, stop } = await rig()
  emulator.faults.add({ when: { path: 'import' }, do: { status: 503 } })
  const sending = send().catch((error: unknown) => error)
  await expect.poll(() => emulator.stats.calls.import, { timeout: 30_000 }).toBeGreaterThan(2)
  stop.abort()
  expect(await sending).toMatchObject({ name: 'AbortError' })
})

test('what has become of an import is told by its status', async () => {
  const { emulator, send, state } = await rig(3, { processingMs: 200 })
  expect(await state('req_nobody_knows')).toBe('absent')
  const { requestId } = await send({
    onStarted: async ({ requestId: started }) => expect(await state(started)).toBe('absent'),
  })
  expect(await state(requestId)).toBe('processing')
  await expect.poll(() => state(requestId), { timeout: 30_000 }).toBe('succeeded')
  emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { reject: 400, message: 'no' } })
  const failed = await send()
  await expect.poll(() => state(failed.requestId), { timeout: 30_000 }).toBe('failed')
})

test('a storage that redirects is refused: nothing is sent to another host', async () => {
  const elsewhere: string[] = []
  const server = createServer((request, response) => {
    elsewhere.push(String(request.url))
    request.resume()
    response.writeHead(307, { location: '/elsewhere' }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { send } = await rig()
  const uploadUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/file?signature=s3cret`
  const client = {
    startImport: async () => ({ kind: 'accepted', answer: { requestId: 'r', objectKey: 'k', uploadUrl } }) as const,
    requestStatus: async () => ({ kind: 'accepted', answer: { status: 'uploading' } }) as never,
  }
  await expect(send({ client })).rejects.toMatchObject({ code: 'UPLOAD_REFUSED' })
  expect(elsewhere).toEqual(['/file?signature=s3cret'])
})
