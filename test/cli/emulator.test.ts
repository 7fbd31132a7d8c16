import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { afterEach, describe, expect, it } from 'vitest'
import { connectEmulator } from '../../src/emulator/index.js'
import { type RunningCommand, runCommand, startCommand } from '../support/sidecar.js'
import { type ReceivedWebhook, receiveWebhooks } from '../support/webhook-receiver.js'

const started: RunningCommand[] = []
afterEach(async () => {
  for (const command of started.splice(0)) {
    command.kill('SIGKILL')
    await command.exited
  }
})

const cwd = process.cwd()

async function emulator(...args: string[]): Promise<{ command: RunningCommand; url: string }> {
  const command = startCommand(['emulator', '--port', '0', ...args], { cwd })
  started.push(command)
  await command.waitForOutput('Ctrl-C')
  return { command, url: /SAFETYKIT_BASE_URL=(\S+)/.exec(command.stdout())?.[1] ?? '' }
}

function add(url: string, apiKey: string, data: unknown): Promise<Response> {
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' }
  return fetch(`${url}/v1/data/products`, { method: 'POST', headers, body: JSON.stringify({ data }) })
}

describe('safetykit-sync emulator', () => {
  it('prints the lines for .env, and answers under them', async () => {
    const { command, url } = await emulator()
    const key = /SAFETYKIT_API_KEY=(\S+)/.exec(command.stdout())?.[1] ?? ''
    expect((await add(url, key, { id: '1', title: 'Lamp' })).status).toBe(200)
    expect((await add(url, 'sk_other', { id: '1' })).status).toBe(401)
    expect(await connectEmulator(url).object('products', '1')).toMatchObject({ id: '1' })
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('stops with 0 on %s, though a client is connected', async (signal) => {
    const { command, url } = await emulator()
    await add(url, 'sk_emulator', { id: '1' })
    command.kill(signal)
    expect(await command.exited).toEqual({ code: 0, signal: null })
    expect(command.stderr()).toBe('')
  })

  it('takes the key and the latency that it is given', async () => {
    const { command, url } = await emulator('--api-key', 'sk_mine', '--latency-ms', '300')
    expect(command.stdout()).toContain('SAFETYKIT_API_KEY=sk_mine')
    const before = performance.now()
    expect((await add(url, 'sk_mine', { id: '1' })).status).toBe(200)
    expect(performance.now() - before).toBeGreaterThan(290)
  })

  it('tells of evaluations where it is told to, and prints the secret that they are signed with', async () => {
    const receiver = await receiveWebhooks()
    const { command, url } = await emulator('--webhook-url', receiver.url)
    const secret = /SAFETYKIT_WEBHOOK_SECRET=(\S+)/.exec(command.stdout())?.[1] ?? ''
    await add(url, 'sk_emulator', { id: '1', title: 'counterfeit' })
    await expect.poll(() => receiver.received.length, { timeout: 30_000 }).toBe(1)
    const [{ body, headers }] = receiver.received as [ReceivedWebhook]
    expect(new Webhook(secret).verify(body, headers)).toMatchObject({ type: 'workflow.succeeded', id: '1' })
  })

  it('says what is wrong with a webhook that it is given, and exits 2', async () => {
    const wrong = [
      ['--webhook-url', 'localhost'],
      ['--webhook-url', 'http://localhost', '--webhook-secret', 'sk_x'],
    ]
    for (const args of wrong) {
      const { code, stderr } = await runCommand(['emulator', '--port', '0', ...args], { cwd })
      expect(code).toBe(2)
      expect(stderr).toContain('The emulator cannot send webhooks: webhook.')
      expect(stderr).toContain('→ Give an HTTP URL with --webhook-url')
    }
  })

  it('holds imports back for as long as it is told', async () => {
    const { url } = await emulator('--import-processing-ms', '86400000')
    const headers = { authorization: 'Bearer sk_emulator', 'content-type': 'application/json' }
    const started = await fetch(`${url}/v1/data/products/import`, { method: 'POST', headers, body: '{}' })
    const { upload_url } = (await started.json()) as { upload_url: string }
    await fetch(upload_url, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{"id":"1"}' })
    const remote = connectEmulator(url)
    expect((await remote.stats()).imports).toMatchObject({ ingesting: 1 })
    expect(await remote.imports.release()).toBe(1)
    expect(await remote.object('products', '1')).toMatchObject({ id: '1' })
  })

  it('prints URL and key as one line of JSON with --json', async () => {
    const command = startCommand(['emulator', '--port', '0', '--json'], { cwd })
    started.push(command)
    await command.waitForOutput('\n')
    expect(JSON.parse(command.stdout())).toEqual({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      apiKey: 'sk_emulator',
    })
  })

  it('prints no colours into a pipe', async () => {
    const { command } = await emulator()
    expect(command.stdout()).not.toContain(String.fromCharCode(27))
  })

  it('says what to do where its port is taken, and exits 2', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const { code, stderr } = await runCommand(['emulator', '--port', String(port)], { cwd })
    server.close()
    expect(code).toBe(2)
    expect(stderr).toContain(`The emulator cannot listen at 127.0.0.1:${port} (EADDRINUSE)`)
    expect(stderr).toContain('→ Choose another port')
  })
})
