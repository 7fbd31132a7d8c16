import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Outcome } from '../../src/delivery/api-outcome.js'
import { type ClientOptions, SafetyKitClient } from '../../src/delivery/client.js'
import { startEmulator } from '../../src/emulator/index.js'

const apiKey = 'sk_live_do_not_tell'
const accepted = JSON.stringify({ requestId: 'req_1', status: 'accepted' })

interface Heard {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** An API that answers as it is told to, and remembers what it heard. */
async function api(answer: (heard: Heard, response: ServerResponse) => void) {
  const heard: Heard[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const one = { method: request.method, url: request.url, headers: request.headers, body }
    heard.push(one)
    answer(one, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard }
}

function client(baseUrl: string, options: Partial<ClientOptions> = {}): SafetyKitClient {
  const made = new SafetyKitClient({ baseUrl, apiKey, timeoutMs: 20_000, maxConnections: 4, ...options })
  onTestFinished(() => made.destroy())
  return made
}

const baseUrlHint = expect.stringContaining('SAFETYKIT_BASE_URL')
const ok = (_: Heard, response: ServerResponse): void => void response.end(accepted)
const everything = (outcome: Outcome<unknown>): string =>
  inspect(outcome, { depth: 20, showHidden: true, maxStringLength: null, maxArrayLength: null })

describe('a call', () => {
  test('is what the contract says', async () => {
    const { url, heard } = await api(ok)
    expect(await client(url).add('products', '{"data":[]}')).toMatchObject({
      kind: 'accepted',
      answer: { requestId: 'req_1' },
    })
    expect(heard).toMatchObject([
      {
        method: 'POST',
        url: '/v1/data/products',
        body: '{"data":[]}',
        headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json', 'content-length': '11' },
      },
    ])
  })

  test.each([
    '/gateway/safetykit',
    '/gateway/safetykit/',
    '/gateway/safetykit//',
  ])('keeps the path of the base URL as a prefix: %s', async (path) => {
    const { url, heard } = await api(ok)
    await client(url + path).add('products', '{}')
    expect(heard[0]?.url).toBe('/gateway/safetykit/v1/data/products')
  })

  test('cannot leave its path by the name of a namespace', async () => {
    const { url, heard } = await api(ok)
    await client(url).add('../../admin?x=1#', '{}')
    expect(heard[0]?.url).toBe('/v1/data/..%2F..%2Fadmin%3Fx%3D1%23')
  })

  test('sends settings as a whole', async () => {
    const { url, heard } = await api((_, response) => response.end('{"namespace":"products","status":"updated"}'))
    expect(await client(url).putSettings('products', { title: { field_limit: 3 } })).toEqual({
      kind: 'accepted',
      answer: true,
    })
    expect(heard).toMatchObject([
      { method: 'PUT', url: '/v1/data/products/settings', body: '{"schema":{"title":{"field_limit":3}}}' },
    ])
  })

  test.each<[number, string, object]>([
    [200, '{"requestId":"req_1","status":"accepted","more":{}}', { kind: 'accepted' }],
    [202, accepted, { kind: 'accepted' }],
    [
      200,
      '{"requestId":"","status":"accepted"}',
      { kind: 'retry', error: { code: 'API_UNEXPECTED' }, ambiguous: true },
    ],
    [200, '<html>', { kind: 'retry', error: { code: 'API_UNEXPECTED', retryable: true }, ambiguous: true }],
    [302, '', { kind: 'retry', error: { code: 'API_UNEXPECTED', hint: baseUrlHint }, ambiguous: true }],
    [400, '{"error":{"message":"id is missing"}}', { kind: 'rejected', error: { code: 'API_REJECTED' } }],
    [401, '', { kind: 'unauthorized', error: { code: 'API_UNAUTHORIZED' } }],
    [403, '', { kind: 'unauthorized', error: { code: 'API_UNAUTHORIZED' } }],
    // Nothing in a request is to blame for these: they come from an address that is not the API.
    [
      404,
      '',
      { kind: 'retry', error: { code: 'API_UNEXPECTED', retryable: true, hint: baseUrlHint }, throttled: false },
    ],
    [405, '', { kind: 'retry', error: { code: 'API_UNEXPECTED', hint: baseUrlHint } }],
    [408, '', { kind: 'retry', error: { code: 'API_UNAVAILABLE' }, ambiguous: true, throttled: false }],
    [413, '', { kind: 'rejected' }],
    [422, '', { kind: 'rejected', error: { message: 'The API answered 422' } }],
    [429, '', { kind: 'retry', ambiguous: false, throttled: true }],
    [500, '', { kind: 'retry', error: { code: 'API_UNAVAILABLE' }, ambiguous: true, throttled: false }],
    [503, '', { kind: 'retry', ambiguous: true }],
  ])('that is answered with %i and %s', async (status, body, outcome) => {
    const { url } = await api((_, response) => response.writeHead(status).end(body))
    expect(await client(url).add('products', '{}')).toMatchObject(outcome)
  })

  test('about a request that the API does not know is answered with 404, and that is an answer', async () => {
    const { url } = await api((_, response) => response.writeHead(404).end())
    expect(await client(url).requestStatus('products', 'req_1', () => null)).toMatchObject({
      kind: 'rejected',
      status: 404,
    })
  })

  test.each([
    [
      'as an error with a code',
      '{"error":{"code":"x","message":"title is empty"}}',
      'The API answered 422: title is empty',
    ],
    ['as an error', '{"error":"title is empty"}', 'The API answered 422: title is empty'],
    ['as a message', '{"message":"title is empty"}', 'The API answered 422: title is empty'],
    ['as a text', 'title is empty\n', 'The API answered 422: title is empty'],
    ['cut, where there are many', 'x'.repeat(10_000), `The API answered 422: ${'x'.repeat(500)}`],
  ])("tells the API's own words: %s", async (_, body, message) => {
    const { url } = await api((_, response) => response.writeHead(422).end(body))
    expect(await client(url).add('products', '{}')).toMatchObject({ error: { message } })
  })
})

describe('an answer', () => {
  test.each([200, 422, 500])('of %i that is larger than a megabyte is not read to its end', async (status) => {
    let written = 0
    const { url } = await api((heard, response) => {
      if (heard.url?.endsWith('small')) return void response.end(accepted)
      response.writeHead(status)
      const more = (): void => {
        while (!response.destroyed && written < 500_000_000) {
          written += 100_000
          if (!response.write('x'.repeat(100_000))) return void response.once('drain', more)
        }
        response.end()
      }
      more()
    })
    const asked = client(url)
    const outcome = await asked.add('products', '{}')
    expect(outcome.kind).toBe(status === 422 ? 'rejected' : 'retry')
    expect(everything(outcome).length).toBeLessThan(10_000)
    expect(await asked.add('small', '{}')).toMatchObject({ kind: 'accepted' })
    expect(written).toBeLessThan(100_000_000)
  })

  test.each([
    ['never begins', (_: Heard, __: ServerResponse) => {}],
    ['never ends', (_: Heard, response: ServerResponse) => void response.writeHead(200).write('{"requestId":')],
  ])('that %s is given up after its time', async (_, answer) => {
    const { url } = await api(answer)
    expect(await client(url, { timeoutMs: 200 }).add('products', '{}')).toMatchObject({
      kind: 'retry',
      error: { code: 'API_UNAVAILABLE', message: 'The API did not answer within 200 ms', retryable: true },
      ambiguous: true,
    })
  })

  test('that redirects is not followed: the key stays with the API', async () => {
    const elsewhere = await api(ok)
    const { url } = await api((_, response) =>
      response.writeHead(307, { location: `${elsewhere.url}/v1/data/x` }).end(),
    )
    expect(await client(url).add('products', '{}')).toMatchObject({ kind: 'retry', status: 307 })
    expect(elsewhere.heard).toEqual([])
  })
})

test('an API that is not there is told with what to check, and no credentials of the URL', async () => {
  const outcome = await client('http://user:hunter2@127.0.0.1:1/prefix').add('products', '{}')
  expect(outcome).toMatchObject({
    kind: 'retry',
    error: {
      message: 'The API could not be reached (ECONNREFUSED)',
      hint: expect.stringContaining('http://127.0.0.1:1)'),
    },
  })
  expect(everything(outcome)).not.toContain('hunter2')
})

describe('the API key is in no error, message or cause', () => {
  test.each<[string, (heard: Heard, response: ServerResponse) => void]>([
    ['a reset', (_, response) => void response.socket?.resetAndDestroy()],
    ['no HTTP', (_, response) => void response.socket?.end('nonsense\r\n\r\n')],
    ['headers that are too large', (_, response) => void response.writeHead(200, { x: 'y'.repeat(100_000) }).end()],
    ['nothing in time', () => {}],
    [
      'a body that breaks off',
      (_, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('{')
        setTimeout(() => response.destroy(), 20)
      },
    ],
    ['401', (heard, response) => void response.writeHead(401).end(heard.headers.authorization)],
    ['its own headers as an error page', (heard, response) => void response.writeHead(422).end(JSON.stringify(heard))],
    [
      'its own headers as a 500',
      (heard, response) => {
        response.writeHead(500).end(JSON.stringify({ error: { message: `Bad: ${heard.headers.authorization}` } }))
      },
    ],
  ])('after %s', async (_, answer) => {
    const { url } = await api(answer)
    const outcome = await client(url, { timeoutMs: 500 }).add('products', '{}')
    expect(outcome.kind).not.toBe('accepted')
    expect(everything(outcome)).not.toContain(apiKey)
  })

  test('nor where it cannot stand in a header', async () => {
    const { url } = await api(ok)
    const outcome = await client(url, { apiKey: `${apiKey}\r\nx: y` }).add('products', '{}')
    expect(everything(outcome)).not.toContain(apiKey)
  })
})

test('the client works against the emulator, and keeps its connections', async () => {
  const emulator = await startEmulator({ apiKey })
  onTestFinished(() => emulator.close())
  const asked = client(emulator.url)
  for (let n = 0; n < 3; n += 1) {
    expect((await asked.add('products', `{"data":[{"id":"${n}"}]}`)).kind).toBe('accepted')
  }
  expect(emulator.objects('products').size).toBe(3)
})
