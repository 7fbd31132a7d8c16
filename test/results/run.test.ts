import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase } from '../support/postgres.js'
import { runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const secret = `whsec_${Buffer.from('a secret of the tests').toString('base64')}`

async function sidecar() {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text)' })
  onTestFinished(() => db.drop())
  const config = await writeConfig({
    results: 'webhook',
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  onTestFinished(() => config.remove())
  const env = { DATABASE_URL: db.url, SAFETYKIT_API_KEY: emulator.apiKey, SAFETYKIT_BASE_URL: emulator.url }
  const options = { cwd: config.dir, env }
  expect((await runCommand(['migrate'], options)).code).toBe(0)
  return { emulator, db, options: { ...options, env: { ...env, SAFETYKIT_WEBHOOK_SECRET: secret } }, unset: options }
}

test('run --webhook-port serves webhooks, and stops in order', async () => {
  const { emulator, db, options } = await sidecar()
  const running = startSidecar({ ...options, args: ['--webhook-port', '0', '--webhook-host', '127.0.0.1'] })
  const line = await running.waitFor(({ msg }) => msg === 'Webhooks are taken')
  emulator.webhooks.configure({ url: `http://127.0.0.1:${line.port}/webhook`, secret })
  await db.query(`INSERT INTO products VALUES (1, 'counterfeit')`)
  await soon(async () => {
    const { rows } = await db.query('SELECT status, output FROM safetykit.objects')
    expect(rows).toMatchObject([{ status: 'succeeded', output: { actions: ['remove'] } }])
  })
  expect(emulator.stats.calls.status).toBe(0)
  running.kill()
  expect(await running.exited).toEqual({ code: 0, signal: null })
  expect(running.stdout()).not.toContain(secret)
})

test('run --webhook-port says before anything starts that a port is in use, or the secret is missing', async () => {
  const { options, unset } = await sidecar()
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void taken.close())
  const { port } = taken.address() as { port: number }
  const args = ['run', '--webhook-host', '127.0.0.1', '--webhook-port', String(port)]
  const busy = await runCommand(args, options)
  expect(busy.code).toBe(2)
  expect(busy.stderr).toContain(`Webhooks cannot be served at 127.0.0.1:${port} (EADDRINUSE)`)
  const secretless = await runCommand(args, unset)
  expect(secretless.code).toBe(2)
  expect(secretless.stderr).toContain('SAFETYKIT_WEBHOOK_SECRET is not set')
  const wrong = await runCommand(['run', '--webhook-port', 'http'], options)
  expect(wrong.code).toBe(2)
})
