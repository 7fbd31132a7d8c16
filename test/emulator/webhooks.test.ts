import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { connectEmulator, type Emulator } from '../../src/emulator/index.js'
import { add, ask, emulatorForTest } from '../support/emulator.js'
import { receiveWebhooks, type WebhookReceiver } from '../support/webhook-receiver.js'

const secret = `whsec_${Buffer.from('a secret of the tests, long enough').toString('base64')}`
const patience = { timeout: 30_000 }

const ids = ({ received }: WebhookReceiver) => received.map(({ event }) => event.id)
const states = (emulator: Emulator) => emulator.webhooks.deliveries().map(({ state }) => state)

test('each object of an add is told of, in the words and with the signature that are documented', async () => {
  const receiver = await receiveWebhooks()
  const emulator = await emulatorForTest({ webhook: { url: receiver.url, secret } })
  const { body } = await add(emulator, 'products', [
    { id: '1', title: 'A counterfeit lamp' },
    { id: '2', title: '[evaluation fails]' },
    { id: 'a/b' },
  ])
  await expect.poll(() => states(emulator), patience).toEqual(['delivered', 'delivered', 'delivered'])

  const of = (id: string) => receiver.received.find(({ event }) => event.id === id)
  expect(of('1')?.event).toEqual({
    type: 'workflow.succeeded',
    namespace: 'products',
    id: '1',
    request_id: body?.requestId,
    url: `${emulator.url}/emulator/objects/products/1`,
    output: {
      actions: ['remove'],
      fields: {},
      labels: [{ label: 'counterfeit', explanation: expect.any(String), confidence: 0.9 }],
    },
  })
  expect(of('2')?.event).toEqual({
    type: 'workflow.failed',
    namespace: 'products',
    id: '2',
    request_id: body?.requestId,
    error: 'The object could not be evaluated.',
  })
  for (const { body, headers } of receiver.received) {
    expect(() => new Webhook(secret).verify(body, headers)).not.toThrow()
    expect(() => new Webhook(`whsec_${Buffer.from('another').toString('base64')}`).verify(body, headers)).toThrow()
    expect(headers['content-type']).toBe('application/json')
  }
  const events = emulator.webhooks.deliveries()
  expect(events.map(({ id }) => id).sort()).toEqual(
    receiver.received.map(({ headers }) => headers['webhook-id']).sort(),
  )
  expect(events[1]).toEqual({
    id: expect.stringMatching(/^msg_/),
    type: 'workflow.failed',
    namespace: 'products',
    objectId: '2',
    requestId: body?.requestId,
    state: 'delivered',
    attempts: 1,
    lastStatus: 204,
  })
})

test('an import is told of when it has landed, an object that was in it twice once', async () => {
  const receiver = await receiveWebhooks()
  const emulator = await emulatorForTest({ webhook: { url: receiver.url, secret } })
  emulator.imports.hold()
  const { body } = await ask(emulator, '/v1/data/products/import', { body: {} })
  const headers = { 'content-type': 'application/json' }
  const lines = '{"id":"1"}\n{"id":"2"}\n{"id":"1","title":"weapon"}\n'
  await ask(emulator, String(body?.upload_url), { method: 'PUT', headers, body: lines })
  expect(emulator.webhooks.deliveries()).toEqual([])
  emulator.imports.release()
  await expect.poll(() => ids(receiver).sort(), patience).toEqual(['1', '2'])
  expect(receiver.received.find(({ event }) => event.id === '1')?.event).toMatchObject({
    request_id: body?.requestId,
    output: { actions: ['review'], labels: [{ label: 'weapon' }] },
  })
})

test('an event is sent again with the same webhook-id until it is answered with 2xx', async () => {
  const receiver = await receiveWebhooks((nth) => [500, 302, 404][nth - 1] ?? 200)
  const emulator = await emulatorForTest({ webhook: { url: receiver.url, secret, retryMs: [1, 1, 1, 1] } })
  await add(emulator, 'products', { id: '1' })
  await expect.poll(() => states(emulator), patience).toEqual(['delivered'])
  expect(emulator.webhooks.deliveries()).toMatchObject([{ attempts: 4, lastStatus: 200 }])
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
  expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1)
})

test('an event that is never answered with 2xx is given up after the attempts that retryMs allows', async () => {
  const receiver = await receiveWebhooks(() => 503)
  const emulator = await emulatorForTest({ webhook: { url: receiver.url, secret, retryMs: [1, 1] } })
  await add(emulator, 'products', { id: '1' })
  await expect.poll(() => states(emulator), patience).toEqual(['given-up'])
  expect(emulator.webhooks.deliveries()).toMatchObject([{ attempts: 3, lastStatus: 503 }])
  expect(receiver.received.length).toBe(3)
})

test('an endpoint that cannot be reached is an attempt without a status', async () => {
  const emulator = await emulatorForTest({ webhook: { url: 'http://127.0.0.1:1/', secret, retryMs: [] } })
  await add(emulator, 'products', { id: '1' })
  await expect.poll(() => states(emulator), patience).toEqual(['given-up'])
  expect(emulator.webhooks.deliveries()).toMatchObject([{ attempts: 1, lastStatus: null }])
})

test('events are held, delivered out of order, one of them twice, and then released', async () => {
  const receiver = await receiveWebhooks()
  const emulator = await emulatorForTest({ processingMs: 0, webhook: { url: receiver.url, secret } })
  emulator.webhooks.hold()
  await add(emulator, 'products', [{ id: '1' }, { id: '2' }, { id: '3' }])
  expect(states(emulator)).toEqual(['waiting', 'waiting', 'waiting'])
  const [first, second, third] = emulator.webhooks.deliveries().map(({ id }) => id)
  await emulator.webhooks.deliver(third!, first!, third!)
  expect(ids(receiver)).toEqual(['3', '1', '3'])
  expect(receiver.received[0]?.headers['webhook-id']).toBe(receiver.received[2]?.headers['webhook-id'])
  expect(states(emulator)).toEqual(['delivered', 'waiting', 'delivered'])
  emulator.webhooks.release()
  await expect.poll(() => ids(receiver), patience).toEqual(['3', '1', '3', '2'])
  expect(emulator.webhooks.deliveries().map(({ id, attempts }) => [id, attempts])).toEqual([
    [first, 1],
    [second, 1],
    [third, 2],
  ])
  await expect(emulator.webhooks.deliver('msg_none')).rejects.toThrow('there is no event msg_none')
})

test('many events are posted at once, but never more than eight', async () => {
  let now = 0
  let most = 0
  const receiver = await receiveWebhooks(async () => {
    now += 1
    most = Math.max(most, now)
    await sleep(5)
    now -= 1
    return 200
  })
  const emulator = await emulatorForTest({ webhook: { url: receiver.url, secret } })
  await add(
    emulator,
    'products',
    Array.from({ length: 100 }, (_, n) => ({ id: String(n) })),
  )
  await expect.poll(() => new Set(states(emulator)), patience).toEqual(new Set(['delivered']))
  expect(new Set(ids(receiver)).size).toBe(100)
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(8)
})

test('where events go is set and cleared over HTTP; without a place none arises', async () => {
  const receiver = await receiveWebhooks()
  const emulator = await emulatorForTest({ processingMs: 0 })
  const remote = connectEmulator(emulator.url)
  await add(emulator, 'products', { id: '1' })
  await remote.webhooks.configure({ url: receiver.url, secret })
  await remote.webhooks.hold()
  await add(emulator, 'products', { id: '2' })
  await expect.poll(async () => (await remote.webhooks.deliveries()).length, patience).toBe(1)
  const [event] = await remote.webhooks.deliveries()
  expect(event?.objectId).toBe('2')
  await remote.webhooks.deliver(event!.id, event!.id)
  expect(ids(receiver)).toEqual(['2', '2'])
  await remote.webhooks.release()
  await add(emulator, 'products', { id: '3' })
  await expect.poll(() => ids(receiver), patience).toEqual(['2', '2', '3'])
  await remote.webhooks.configure(null)
  await add(emulator, 'products', { id: '4' })
  await expect.poll(() => emulator.requests().at(-1)?.status, patience).toBe('succeeded')
  expect((await remote.webhooks.deliveries()).map(({ objectId }) => objectId)).toEqual(['2', '3'])
  await expect(remote.webhooks.deliver(event!.id)).rejects.toThrow('no webhook is set')
})

test('the delay stands between the end of a request and its events', async () => {
  const receiver = await receiveWebhooks()
  const emulator = await emulatorForTest({ processingMs: 0, webhook: { url: receiver.url, secret, delayMs: 300 } })
  const before = performance.now()
  await add(emulator, 'products', { id: '1' })
  await expect.poll(() => receiver.received.length, { timeout: 30_000, interval: 5 }).toBe(1)
  expect(performance.now() - before).toBeGreaterThan(295)
})

test('close() ends a delivery that is not answered, and reset() forgets all', async () => {
  const receiver = await receiveWebhooks(() => null)
  const emulator = await emulatorForTest({ processingMs: 0, webhook: { url: receiver.url, secret } })
  await add(emulator, 'products', { id: '1' })
  await expect.poll(() => receiver.received.length, patience).toBe(1)
  emulator.reset()
  expect(emulator.webhooks.deliveries()).toEqual([])
  await add(emulator, 'products', { id: '2' })
  await expect.poll(() => ids(receiver), patience).toEqual(['1', '2'])
  await emulator.close()
  await expect.poll(() => emulator.webhooks.deliveries(), patience).toMatchObject([{ objectId: '2', lastStatus: null }])
})

test.each([
  [{ url: 'localhost', secret }, 'webhook.url is not an HTTP URL'],
  [{ url: 'ftp://localhost', secret }, 'webhook.url is not an HTTP URL'],
  [{ url: 'http://localhost', secret: 'sk_x' }, 'webhook.secret is not whsec_ and base64'],
  [{ url: 'http://localhost' }, 'webhook.secret is not whsec_ and base64'],
  [{ url: 'http://localhost', secret, delayMs: -1 }, 'webhook.delayMs is not'],
  [{ url: 'http://localhost', secret, retryMs: 5 }, 'webhook.retryMs is not an array'],
])('settings that are wrong say so: %j', async (webhook, message) => {
  const emulator = await emulatorForTest()
  const answer = await ask(emulator, '/emulator/webhooks', { method: 'PUT', body: webhook })
  expect(answer.status).toBe(400)
  expect(answer.text).toContain(message)
  expect(() => emulator.webhooks.configure(webhook as never)).toThrow(message)
})
