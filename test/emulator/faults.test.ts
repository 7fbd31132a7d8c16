import { Agent, request } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import { type Emulator, type Fault, startEmulator } from '../../src/emulator/index.js'
import { add, ask, emulatorForTest } from '../support/emulator.js'

/** An add that gives up; `'gone'` is a connection that broke or a time that ran out. */
async function attempt(emulator: Emulator, id: string, timeoutMs = 30_000): Promise<number | 'gone'> {
  const signal = AbortSignal.timeout(timeoutMs)
  return add(emulator, 'products', { id }, { signal }).then(
    (answer) => answer.status,
    () => 'gone',
  )
}

test('a status comes with Retry-After and a body, and nothing is accepted', async () => {
  const emulator = await emulatorForTest()
  const date = 'Wed, 21 Oct 2065 07:28:00 GMT'
  emulator.faults.add({ when: { times: 1 }, do: { status: 429, retryAfter: '7' } })
  emulator.faults.add({ when: { times: 1 }, do: { status: 503, retryAfter: date, body: { why: 'maintenance' } } })
  const first = await add(emulator, 'products', { id: '1' })
  const second = await add(emulator, 'products', { id: '1' })
  expect([first.status, first.headers.get('retry-after')]).toEqual([429, '7'])
  expect([second.status, second.headers.get('retry-after'), second.body]).toEqual([503, date, { why: 'maintenance' }])
  expect(emulator.objects('products').size).toBe(0)
  expect((await add(emulator, 'products', { id: '1' })).status).toBe(200)
  expect(emulator.stats.statuses).toEqual({ 200: 1, 429: 1, 503: 1 })
})

test('a reset ends the connection before accepting', async () => {
  const emulator = await emulatorForTest()
  emulator.faults.add({ when: { times: 1 }, do: { reset: true } })
  expect(await attempt(emulator, '1')).toBe('gone')
  expect(emulator.objects('products').size).toBe(0)
  expect(await attempt(emulator, '1')).toBe(200)
})

test('a reset after accepting has stored the object', async () => {
  const emulator = await emulatorForTest()
  emulator.faults.add({ do: { resetAfterAccept: true } })
  expect(await attempt(emulator, '1')).toBe('gone')
  expect([...emulator.objects('products').keys()]).toEqual(['1'])
})

test('a hang never answers and accepts nothing', async () => {
  const emulator = await emulatorForTest()
  emulator.faults.add({ do: { hang: true } })
  expect(await attempt(emulator, '1', 200)).toBe('gone')
  expect(emulator.objects('products').size).toBe(0)
})

test('a hang after accepting has stored the object and never answers', async () => {
  const emulator = await emulatorForTest()
  emulator.faults.add({ when: { times: 1 }, do: { hangAfterAccept: true } })
  const abort = new AbortController()
  const waiting = add(emulator, 'products', { id: '1' }, { signal: abort.signal })
  await expect.poll(() => emulator.objects('products').size, { timeout: 30_000 }).toBe(1)
  abort.abort()
  await expect(waiting).rejects.toThrow()
  expect(await attempt(emulator, '1')).toBe(200)
  expect(emulator.object('products', '1')?.versions).toBe(2)
})

test('a poisoned id makes the API refuse the whole request, and only while it is in it', async () => {
  const emulator = await emulatorForTest()
  emulator.faults.add({ when: { ids: ['2'] }, do: { reject: 422, message: 'The image cannot be fetched.' } })
  const refused = await add(emulator, 'products', [{ id: '1' }, { id: '2' }])
  expect([refused.status, refused.body]).toEqual([
    422,
    { error: { code: 'rejected', message: 'The image cannot be fetched.' } },
  ])
  expect((await add(emulator, 'products', [{ id: '1' }, { id: '3' }])).status).toBe(200)
  expect([...emulator.objects('products').keys()]).toEqual(['1', '3'])
})

test('a poisoned id in an upload makes the import fail', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  emulator.faults.add({ when: { ids: ['2'] }, do: { reject: 422, message: 'Bad object.' } })
  const started = await ask(emulator, '/v1/data/products/import', { body: {} })
  const headers = { 'content-type': 'application/json' }
  const url = String(started.body?.upload_url)
  expect((await ask(emulator, url, { method: 'PUT', headers, body: '{"id":"1"}\n{"id":"2"}\n' })).status).toBe(200)
  expect(emulator.requests()).toMatchObject([{ status: 'failed', error: 'Bad object.' }])
  expect(emulator.objects('products').size).toBe(0)
})

test.each([
  [true, expect.stringContaining('<!doctype html>')],
  ['{"ok":true}', '{"ok":true}'],
] as const)('garbage (%j) is a 200 that is not the contract, and accepts nothing', async (garbage, text) => {
  const emulator = await emulatorForTest()
  emulator.faults.add({ do: { garbage } })
  const answer = await add(emulator, 'products', { id: '1' })
  expect([answer.status, answer.text]).toEqual([200, text])
  expect(emulator.objects('products').size).toBe(0)
})

test('latency delays, adds up, and goes with another fault', async () => {
  const emulator = await emulatorForTest()
  emulator.faults.add({ do: { latencyMs: 60 } })
  const before = performance.now()
  expect(await attempt(emulator, '1')).toBe(200)
  expect(performance.now() - before).toBeGreaterThan(55)

  emulator.faults.add({ do: { latencyMs: 60, status: 500 } })
  const again = performance.now()
  expect(await attempt(emulator, '1')).toBe(500)
  expect(performance.now() - again).toBeGreaterThan(115)
})

test('a request whose client goes away during the latency is not accepted', async () => {
  const emulator = await emulatorForTest()
  const slow = emulator.faults.add({ when: { times: 1 }, do: { latencyMs: 1_500 } })
  const abort = new AbortController()
  const waiting = add(emulator, 'products', { id: '1', n: 1 }, { signal: abort.signal })
  await expect.poll(() => slow.hits, { timeout: 30_000 }).toBe(1)
  abort.abort()
  await expect(waiting).rejects.toThrow()
  expect((await add(emulator, 'products', { id: '1', n: 2 })).status).toBe(200)
  await new Promise((resolve) => setTimeout(resolve, 1_700))
  expect(emulator.history('products', '1').map(({ data }) => data.n)).toEqual([2])
})

test('of several faults the first that fits decides, and the others are not used up', async () => {
  const emulator = await emulatorForTest()
  const first = emulator.faults.add({ when: { times: 1 }, do: { status: 500 } })
  const second = emulator.faults.add({ when: { times: 1 }, do: { status: 503 } })
  expect([await attempt(emulator, '1'), first.hits, second.hits]).toEqual([500, 1, 0])
  expect([await attempt(emulator, '1'), first.hits, second.hits]).toEqual([503, 1, 1])
  expect(await attempt(emulator, '1')).toBe(200)
})

test('a fault hits only the namespace and the call it names', async () => {
  const emulator = await emulatorForTest()
  emulator.faults.add({ when: { namespace: 'products', path: 'settings' }, do: { status: 500 } })
  const put = { method: 'PUT', body: { schema: {} } }
  expect((await ask(emulator, '/v1/data/products/settings', put)).status).toBe(500)
  expect((await ask(emulator, '/v1/data/sellers/settings', put)).status).toBe(200)
  expect((await add(emulator, 'products', { id: '1' })).status).toBe(200)
})

test.each([
  'add',
  'import',
  'status',
  'settings',
  'deletion',
  'upload',
  'results',
] as const)('the call %s can be hit', async (path) => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const { body } = await add(emulator, 'products', { id: '1' })
  const started = await ask(emulator, '/v1/data/products/import', { body: {} })
  const hit = emulator.faults.add({ when: { path }, do: { status: 503 } })
  const json = { 'content-type': 'application/json' }
  const url = String(started.body?.upload_url)
  const answers = [
    await add(emulator, 'products', { id: '1' }),
    await ask(emulator, '/v1/data/products/import', { body: {} }),
    await ask(emulator, `/v1/data/products/requests/${body?.requestId}`, { method: 'GET' }),
    await ask(emulator, '/v1/data/products/settings', { method: 'PUT', body: { schema: {} } }),
    await ask(emulator, '/v1/deletion_requests', { body: { subject_user_id: 'u' } }),
    await ask(emulator, url, { method: 'PUT', headers: json, body: '{"id":"1"}' }),
    await ask(emulator, '/results/req_none', { method: 'GET', headers: {} }),
  ]
  const names = ['add', 'import', 'status', 'settings', 'deletion', 'upload', 'results']
  expect(answers.map(({ status }, n) => (status === 503 ? names[n] : null)).filter((name) => name !== null)).toEqual([
    path,
  ])
  expect(hit.hits).toBe(1)
})

test('a probability with a seed hits the same requests every time', async () => {
  const emulator = await emulatorForTest()
  const run = async (seed: number): Promise<(number | string)[]> => {
    const fault = emulator.faults.add({ when: { probability: 0.5, seed }, do: { status: 500 } })
    const statuses: (number | string)[] = []
    for (let n = 0; n < 40; n += 1) statuses.push(await attempt(emulator, String(n)))
    fault.remove()
    return statuses
  }
  const first = await run(7)
  expect(await run(7)).toEqual(first)
  expect(new Set(first)).toEqual(new Set([200, 500]))
  expect(await run(8)).not.toEqual(first)
})

test('a fault that is removed, or cleared, is over', async () => {
  const emulator = await emulatorForTest({ faults: [{ do: { latencyMs: 1 } }] })
  const one = emulator.faults.add({ when: { namespace: 'products' }, do: { status: 500 } })
  emulator.faults.add({ do: { status: 503 } })
  expect(await attempt(emulator, '1')).toBe(500)
  one.remove()
  expect(await attempt(emulator, '1')).toBe(503)
  emulator.faults.clear()
  expect(await attempt(emulator, '1')).toBe(200)
})

test.each([
  [{}, 'do is not an object'],
  [{ do: {} }, 'do needs one of latencyMs, status'],
  [{ do: { hang: true, reset: true } }, 'do has reset and hang'],
  [{ do: { statuss: 500 } }, 'do has an unknown word "statuss"'],
  [{ do: { status: 99 } }, 'do.status is not a status'],
  [{ when: { id: '1' }, do: { hang: true } }, 'when has an unknown word "id"'],
  [{ when: { ids: '1' }, do: { hang: true } }, 'when.ids is not an array'],
])('a fault that is wrong says so: %j', async (fault, message) => {
  const emulator = await emulatorForTest()
  expect(() => emulator.faults.add(fault as unknown as Fault)).toThrow(message)
})

test('close() ends requests that hang at once, and reset() lets go of them', async () => {
  const emulator = await startEmulator({ faults: [{ do: { hang: true } }] })
  const agent = new Agent()
  onTestFinished(() => agent.destroy())
  const hang = async (): Promise<unknown> => {
    const waiting = request(`${emulator.url}/v1/data/products/requests/r`, { dispatcher: agent }).catch(() => 'gone')
    return waiting
  }
  const first = hang()
  await expect.poll(() => emulator.stats.calls.status, { timeout: 30_000 }).toBe(1)
  emulator.reset()
  expect(await first).toBe('gone')

  emulator.faults.add({ do: { hang: true } })
  const second = hang()
  await expect.poll(() => emulator.stats.calls.status, { timeout: 30_000 }).toBe(1)
  await emulator.close()
  expect(await second).toBe('gone')
})
