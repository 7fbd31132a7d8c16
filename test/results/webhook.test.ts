import { createHmac, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { startWebhookServer } from '../../src/cli/webhook-server.js'
import { defineSync, type WebhookHandler, type WebhookOptions } from '../../src/index.js'
import { type LogLine, memoryLogger } from '../support/memory-logger.js'
import { soon } from '../support/soon.js'
import { tcpProxy } from '../support/tcp-proxy.js'
import { type ResultsRig, resultsRig } from './rig.js'

const secret = `whsec_${Buffer.from('a secret of the tests').toString('base64')}`

const sync = defineSync({ tables: { 'public.products': { namespace: 'products', fields: { title: true } } } })

function handlerOf(rig: ResultsRig, options: WebhookOptions = {}): WebhookHandler & { readonly log: LogLine[] } {
  const log: LogLine[] = []
  const handler = sync.webhook({ secret, databaseUrl: rig.db.url, logger: memoryLogger(log), ...options })
  onTestFinished(() => handler.close())
  return Object.assign(handler, { log })
}

const event = (id: string, requestId: string, more: object = {}) => ({
  type: 'workflow.succeeded',
  namespace: 'products',
  id,
  request_id: requestId,
  url: `https://safetykit.test/${id}`,
  output: { actions: ['remove'], labels: [{ label: 'counterfeit' }], fields: {} },
  ...more,
})

interface Signing {
  readonly webhookId?: string
  readonly secret?: string
  readonly at?: number
  readonly method?: string
}

function signed(
  body: unknown,
  { webhookId = randomUUID(), secret: key = secret, at, method = 'POST' }: Signing = {},
): Request {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const time = Math.floor((at ?? Date.now()) / 1_000)
  const mac = createHmac('sha256', Buffer.from(key.slice('whsec_'.length), 'base64'))
  const signature = mac.update(`${webhookId}.${time}.${text}`).digest('base64')
  return new Request('http://app.test/webhook', {
    method,
    headers: { 'webhook-id': webhookId, 'webhook-timestamp': String(time), 'webhook-signature': `v1,${signature}` },
    ...(method === 'POST' ? { body: text } : {}),
  })
}

const received = (rig: ResultsRig) => rig.db.query('SELECT * FROM safetykit.webhooks ORDER BY received_at')

test('what a webhook says is recorded, given to onResult, and completes a request of one object', async () => {
  const rig = await resultsRig()
  const seen: unknown[] = []
  const handler = handlerOf(rig, { onResult: (evaluation) => void seen.push(evaluation) })
  await rig.record({ requestId: 'r1', ids: ['1'] })
  await rig.record({ requestId: 'r2', ids: ['2', '3'] })
  expect((await handler(signed(event('1', 'r1')))).status).toBe(200)
  expect((await handler(signed(event('2', 'r2')))).status).toBe(200)
  expect(await rig.object('1')).toMatchObject({
    status: 'succeeded',
    output: { actions: ['remove'] },
    url: 'https://safetykit.test/1',
    evaluated_request_id: 'r1',
  })
  expect(seen).toMatchObject([
    { namespace: 'products', objectId: '1', requestId: 'r1', status: 'succeeded', error: null },
    { objectId: '2' },
  ])
  expect(await rig.request('r1')).toMatchObject({ status: 'succeeded', completed_at: expect.any(Date) })
  expect(await rig.request('r2')).toMatchObject({ completed_at: null })
  expect((await received(rig)).rows).toMatchObject([
    { request_id: 'r1', event: null, applied_at: expect.any(Date) },
    { request_id: 'r2' },
  ])
})

test('a failed evaluation is recorded with its words', async () => {
  const rig = await resultsRig()
  const handler = handlerOf(rig)
  await rig.record({ requestId: 'r1', ids: ['1'] })
  const failed = { type: 'workflow.failed', namespace: 'products', id: '1', request_id: 'r1', error: 'no model' }
  expect((await handler(signed(failed))).status).toBe(200)
  expect(await rig.object('1')).toMatchObject({ status: 'failed', output: null, evaluated_request_id: 'r1' })
  expect(await rig.request('r1')).toMatchObject({ status: 'failed', error: { message: 'no model' } })
})

test('the same webhook counts once, however often it comes, also at once', async () => {
  const rig = await resultsRig()
  let calls = 0
  const handler = handlerOf(rig, {
    onResult: () => {
      calls += 1
    },
  })
  await rig.record({ requestId: 'r1', ids: ['1'] })
  await rig.record({ requestId: 'r2', ids: ['1'], age: 1 })
  const send = () => handler(signed(event('1', 'r1'), { webhookId: 'msg_1' }))
  expect((await send()).status).toBe(200)
  expect((await send()).status).toBe(200)
  expect(calls).toBe(1)
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => handler(signed(event('1', 'r2'), { webhookId: 'msg_2' }))),
  )
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200))
  expect((await received(rig)).rows).toHaveLength(2)
  expect(await rig.object('1')).toMatchObject({ evaluated_request_id: 'r2' })
})

test('a result of an older request that comes late does not replace a newer one', async () => {
  const rig = await resultsRig()
  const handler = handlerOf(rig)
  await rig.record({ requestId: 'older', ids: ['1'], age: 60 })
  await rig.record({ requestId: 'newer', ids: ['1'], age: 30 })
  await rig.record({ requestId: 'current', ids: ['1'], age: 10 })
  expect((await handler(signed(event('1', 'newer')))).status).toBe(200)
  expect((await handler(signed(event('1', 'older')))).status).toBe(200)
  expect(await rig.object('1')).toMatchObject({ evaluated_request_id: 'newer' })
  expect((await handler(signed(event('1', 'current')))).status).toBe(200)
  expect(await rig.object('1')).toMatchObject({ evaluated_request_id: 'current' })
})

test('a webhook that comes before the ledger knows its request is kept, and applied when it does', async () => {
  const rig = await resultsRig()
  const handler = handlerOf(rig)
  const requestId = 'r1'
  expect((await handler(signed(event('1', requestId), { webhookId: 'early' }))).status).toBe(200)
  expect((await handler(signed(event('1', requestId), { webhookId: 'early' }))).status).toBe(200)
  expect((await handler(signed(event('9', 'someone-elses')))).status).toBe(200)
  const calls: string[] = []
  rig.follow({
    results: 'webhook',
    onResult: ({ objectId }) => {
      calls.push(objectId)
      if (calls.length === 1) throw new Error('not yet')
    },
  })
  await sleep(2_500)
  expect(await rig.objects()).toEqual([])
  await rig.record({ requestId, ids: ['1'] })
  await soon(async () => expect(await rig.object('1')).toMatchObject({ evaluated_request_id: requestId }))
  await soon(async () => expect((await rig.request(requestId)).completed_at).not.toBe(null))
  expect(calls).toEqual(['1', '1'])
  expect((await received(rig)).rows).toMatchObject([
    { webhook_id: 'early', event: null, applied_at: expect.any(Date) },
    { request_id: 'someone-elses', applied_at: null },
  ])
  await rig.db.query(`UPDATE safetykit.webhooks SET received_at = received_at - interval '8 days'`)
  await soon(async () => expect((await received(rig)).rows).toHaveLength(1))
  expect(rig.logged('warn')).toMatchObject([{ fields: { webhooks: 1 } }])
})

test('many webhooks of unknown requests do not keep a known one from being applied', async () => {
  const rig = await resultsRig()
  await rig.db.query(
    `INSERT INTO safetykit.webhooks (webhook_id, received_at, namespace, object_id, request_id, event)
     SELECT 'other ' || n, now() - n * interval '1 second', 'products', '1', 'unknown', '{}' FROM generate_series(1, 1000) n`,
  )
  await rig.db.query(
    `INSERT INTO safetykit.webhooks (webhook_id, received_at, namespace, object_id, request_id, event)
     VALUES ('ours', now() - interval '500 seconds', 'products', '1', 'r1', $1)`,
    [JSON.stringify(event('1', 'r1'))],
  )
  await rig.record({ requestId: 'r1', ids: ['1'] })
  rig.follow({ results: 'webhook' })
  await soon(async () => expect(await rig.object('1')).toMatchObject({ evaluated_request_id: 'r1' }))
})

test('what is not signed, or was long ago, is refused', async () => {
  const rig = await resultsRig()
  const handler = handlerOf(rig)
  await rig.record({ requestId: 'r1', ids: ['1'] })
  const other = `whsec_${Buffer.from('another secret').toString('base64')}`
  const changed = signed(event('1', 'r1'))
  const old = signed(event('1', 'r1'), { at: Date.now() - 6 * 60_000 })
  const refused = [
    signed(event('1', 'r1'), { secret: other }),
    old,
    signed(event('1', 'r1'), { at: Date.now() + 6 * 60_000 }),
    new Request('http://app.test', { method: 'POST', body: '{}' }),
    new Request('http://app.test', { method: 'POST' }),
    new Request(changed.url, { method: 'POST', headers: changed.headers, body: JSON.stringify(event('2', 'r1')) }),
    new Request(changed.url, {
      method: 'POST',
      headers: { ...Object.fromEntries(changed.headers), 'webhook-signature': 'v1' },
      body: JSON.stringify(event('1', 'r1')),
    }),
    // A time that was signed cannot be made a newer one.
    new Request(old.url, {
      method: 'POST',
      headers: { ...Object.fromEntries(old.headers), 'webhook-timestamp': String(Math.floor(Date.now() / 1_000)) },
      body: JSON.stringify(event('1', 'r1')),
    }),
  ]
  for (const request of refused) expect((await handler(request)).status).toBe(401)
  expect((await handler(signed({}, { method: 'GET' }))).status).toBe(405)
  expect(await rig.object('1')).toMatchObject({ status: null })
  expect((await received(rig)).rows).toEqual([])
  expect(handler.log.filter(({ level }) => level === 'warn')).toHaveLength(1)
  expect(JSON.stringify(handler.log)).not.toContain(secret)
})

test('two secrets are accepted while one replaces the other', async () => {
  const rig = await resultsRig()
  const next = `whsec_${Buffer.from('the next secret').toString('base64')}`
  const handler = handlerOf(rig, { secret: `${secret} ${next}` })
  expect((await handler(signed(event('1', 'r1'), { secret: next }))).status).toBe(200)
  expect((await handler(signed(event('1', 'r1')))).status).toBe(200)
})

test('junk that is signed is refused, and types of events that are not known are ignored', async () => {
  const rig = await resultsRig()
  const handler = handlerOf(rig)
  const junk = [
    'junk',
    '',
    '[]',
    'null',
    '{}',
    { type: 7 },
    { type: 'workflow.succeeded' },
    event('1', 'r1', { id: 7 }),
    event('', 'r1'),
    event('1', 'r1', { output: 'fine' }),
  ]
  for (const body of junk) expect((await handler(signed(body))).status, JSON.stringify(body)).toBe(400)
  expect((await handler(signed({ type: 'workflow.paused', anything: true }))).status).toBe(200)
  // As is: Postgres takes no U+0000.
  expect((await handler(signed(event('1\u0000', 'r1')))).status).toBe(400)
  expect((await received(rig)).rows).toEqual([])
})

test('an onResult that throws has the webhook sent again, and nothing is recorded meanwhile', async () => {
  const rig = await resultsRig()
  let throws = true
  const handler = handlerOf(rig, {
    onResult: async () => {
      if (throws) throw new Error('no mail server')
    },
  })
  await rig.record({ requestId: 'r1', ids: ['1'] })
  const send = () => handler(signed(event('1', 'r1'), { webhookId: 'msg_1' }))
  expect((await send()).status).toBe(500)
  expect(await rig.object('1')).toMatchObject({ status: null })
  expect((await received(rig)).rows).toEqual([])
  throws = false
  expect((await send()).status).toBe(200)
  expect(await rig.object('1')).toMatchObject({ status: 'succeeded' })
})

test('a database that does not answer is told within the time that SafetyKit waits', async () => {
  const rig = await resultsRig()
  const proxy = await tcpProxy(rig.db.url)
  onTestFinished(() => proxy.close())
  const handler = handlerOf(rig, { databaseUrl: proxy.url(rig.db.url) })
  await rig.record({ requestId: 'r1', ids: ['1'] })
  expect((await handler(signed(event('7', 'r7')))).status).toBe(200)
  proxy.blackHole()
  const startedMs = performance.now()
  const answers = await Promise.all([1, 2, 3].map(() => handler(signed(event('1', 'r1')))))
  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503])
  expect(performance.now() - startedMs).toBeLessThan(15_000)
  proxy.heal()
  await soon(async () => expect((await handler(signed(event('1', 'r1')))).status).toBe(200))
  await handler.close()
  expect((await handler(signed(event('1', 'r1')))).status).toBe(200)
})

test('a secret that is missing or none is told at the first request, not before', async () => {
  const rig = await resultsRig()
  for (const given of ['', 'whsec_!']) {
    const handler = handlerOf(rig, { secret: given })
    const answer = await handler(signed(event('1', 'r1')))
    expect(answer.status).toBe(500)
    expect(await answer.json()).toEqual({ error: 'webhooks are not set up' })
    expect(handler.log).toMatchObject([{ level: 'error', fields: { error: { hint: expect.any(String) } } }])
  }
})

async function served(rig: ResultsRig) {
  const handler = handlerOf(rig)
  const logger = memoryLogger([])
  const server = await startWebhookServer({ port: 0, host: '127.0.0.1', handle: handler, logger })
  onTestFinished(() => server.close())
  return { server, url: `http://127.0.0.1:${server.port}` }
}

test('webhooks that the emulator signs and sends again arrive over HTTP', async () => {
  const rig = await resultsRig({ processingMs: 0 })
  const { url } = await served(rig)
  rig.emulator.webhooks.configure({ url: `${url}/webhook`, secret, retryMs: [50, 50, 50] })
  rig.emulator.webhooks.hold()
  const older = await rig.sent([{ id: '1', title: 'weapon' } as { id: string }], { age: 20 })
  const newer = await rig.sent([{ id: '1', title: 'counterfeit' } as { id: string }])
  const sent = await soon(() => {
    const deliveries = rig.emulator.webhooks.deliveries()
    expect(deliveries).toHaveLength(2)
    return new Map(deliveries.map(({ requestId, id }) => [requestId, id]))
  })
  const [first, second] = [sent.get(newer)!, sent.get(older)!]
  await rig.emulator.webhooks.deliver(first, second, first, second)
  expect(rig.emulator.webhooks.deliveries()).toMatchObject([{ lastStatus: 200 }, { lastStatus: 200 }])
  expect(await rig.object('1')).toMatchObject({ evaluated_request_id: newer, output: { actions: ['remove'] } })
})

test('a body of 10 MB is not held, announced or not, and has an answer', async () => {
  const rig = await resultsRig()
  const { url } = await served(rig)
  const body = Buffer.alloc(10 * 1024 * 1024, 'x')
  const announced = await fetch(`${url}/webhook`, { method: 'POST', body })
  expect(announced.status).toBe(413)
  let sent = 0
  const streamed = await fetch(`${url}/webhook`, {
    method: 'POST',
    duplex: 'half',
    body: new ReadableStream({
      pull(controller) {
        if (sent >= body.length) return controller.close()
        controller.enqueue(body.subarray(sent, sent + 65_536))
        sent += 65_536
      },
    }),
  } as RequestInit)
  expect(streamed.status).toBe(413)
  expect((await fetch(url, { method: 'POST', body: '{}' })).status).toBe(401)
  expect((await fetch(url)).status).toBe(405)
  expect((await fetch(`${url}/other`, { method: 'POST', body: '{}' })).status).toBe(404)
})

test('a port that is in use is told with what to do', async () => {
  const rig = await resultsRig()
  const { server } = await served(rig)
  const again = startWebhookServer({
    port: server.port,
    host: '127.0.0.1',
    handle: async () => new Response(),
    logger: memoryLogger([]),
  })
  await expect(again).rejects.toMatchObject({ code: 'CONFIG_INVALID', hint: expect.stringContaining('--webhook-port') })
})
