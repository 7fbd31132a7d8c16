import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { inspect } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { SafetyKitClient } from '../../src/delivery/client.js'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'

/** An HTTP proxy, for tunnels and for whole URLs, that may ask for a password. */
async function startProxy(options: { readonly authorization?: string } = {}) {
  const asked: string[] = []
  const refuses = (header: string | undefined): boolean =>
    options.authorization !== undefined && header !== options.authorization
  const server = createServer(async (request, response) => {
    asked.push(`${request.method} ${request.url}`)
    if (refuses(request.headers['proxy-authorization'])) return void response.writeHead(407).end()
    let body = ''
    for await (const chunk of request) body += chunk
    const { host: _, connection: __, 'proxy-authorization': ___, ...headers } = request.headers
    const forwarded = await fetch(request.url ?? '', {
      method: request.method ?? 'GET',
      headers: headers as Record<string, string>,
      body,
    })
    response.writeHead(forwarded.status).end(await forwarded.text())
  })
  server.on('connect', (request, socket, head) => {
    asked.push(`CONNECT ${request.url}`)
    if (refuses(request.headers['proxy-authorization'])) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      return
    }
    const [host = '', port = ''] = (request.url ?? '').split(':')
    const target = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      target.write(head)
      target.pipe(socket)
      socket.pipe(target)
    })
    for (const end of [target, socket]) end.on('error', () => end.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
  })
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

async function throughProxy(proxy: NonNullable<ConstructorParameters<typeof SafetyKitClient>[0]['proxy']>) {
  const emulator: Emulator = await startEmulator({ apiKey: 'sk_through_a_proxy' })
  const client = new SafetyKitClient({
    baseUrl: emulator.url,
    apiKey: 'sk_through_a_proxy',
    timeoutMs: 10_000,
    maxConnections: 2,
    proxy,
  })
  onTestFinished(async () => {
    await client.destroy()
    await emulator.close()
  })
  const outcome = await client.add('products', '{"data":[{"id":"1"}]}')
  return { emulator, outcome, host: new URL(emulator.url).host }
}

test('requests go through the proxy that is set', async () => {
  const proxy = await startProxy()
  const { emulator, outcome, host } = await throughProxy({ httpProxy: `http://${proxy.host}` })
  expect(outcome.kind).toBe('accepted')
  expect(emulator.objects('products').size).toBe(1)
  expect(proxy.asked).toHaveLength(1)
  expect(proxy.asked[0]).toContain(host)
})

test('hosts that are excepted are reached without it', async () => {
  const proxy = await startProxy()
  const { outcome } = await throughProxy({ httpProxy: `http://${proxy.host}`, noProxy: '127.0.0.1' })
  expect([outcome.kind, proxy.asked]).toEqual(['accepted', []])
})

test('a proxy for HTTPS is not asked for HTTP', async () => {
  const proxy = await startProxy()
  const { outcome } = await throughProxy({ httpsProxy: `http://${proxy.host}` })
  expect([outcome.kind, proxy.asked]).toEqual(['accepted', []])
})

test('a proxy gets its password', async () => {
  const authorization = `Basic ${Buffer.from('user:hunter2').toString('base64')}`
  const proxy = await startProxy({ authorization })
  const { outcome } = await throughProxy({ httpProxy: `http://user:hunter2@${proxy.host}` })
  expect(outcome.kind).toBe('accepted')
})

test.each([
  ['that is not there', '127.0.0.1:1'],
  ['that refuses the password', null],
])('a proxy %s is retried and told of, without its password or the key', async (_, host) => {
  const proxy = await startProxy({ authorization: 'Basic other' })
  const { emulator, outcome } = await throughProxy({ httpProxy: `http://user:hunter2@${host ?? proxy.host}` })
  expect(outcome).toMatchObject({ kind: 'retry', error: { code: expect.stringMatching(/^API_/), retryable: true } })
  const told = inspect(outcome, { depth: 20, showHidden: true })
  expect(told).not.toContain('hunter2')
  expect(told).not.toContain(Buffer.from('user:hunter2').toString('base64'))
  expect(told).not.toContain('sk_through_a_proxy')
  expect(emulator.objects('products').size).toBe(0)
})
