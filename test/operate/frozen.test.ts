import { expect, onTestFinished, test } from 'vitest'
import { startEmulator } from '../../src/emulator/index.js'
import { createDatabase } from '../support/postgres.js'
import { runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'
import { tcpProxy } from '../support/tcp-proxy.js'

test('a sidecar that was frozen while its standby read the slot sends nothing of what it had in memory', async () => {
  const db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)' })
  onTestFinished(() => db.drop())
  const emulator = await startEmulator()
  onTestFinished(() => emulator.close())
  const api = await tcpProxy(emulator.url)
  onTestFinished(() => api.close())
  const directory = await writeConfig({
    capture: 'replication',
    slot: { name: db.name },
    results: 'off',
    delivery: { retryBaseMs: 20, retryMaxMs: 500 },
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  onTestFinished(() => directory.remove())
  const env = { DATABASE_URL: db.url, SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey }
  const options = { cwd: directory.dir, env }
  expect((await runCommand(['migrate'], options)).code).toBe(0)
  const titles = (): unknown[] => emulator.history('products', '1').map(({ data }) => data.title)

  const first = startSidecar({
    ...options,
    env: { ...env, SAFETYKIT_BASE_URL: api.url(emulator.url).replace(/\/$/, '') },
  })
  onTestFinished(() => first.kill('SIGKILL'))
  await first.waitFor(({ msg }) => msg === 'Replication has started')
  api.refuse()
  api.cut()
  await db.query(`INSERT INTO products VALUES (1, 'a')`)
  await first.waitFor(({ msg }) => msg === 'A request failed and is tried again')
  first.kill('SIGSTOP')

  const second = startSidecar(options)
  onTestFinished(() => second.kill('SIGKILL'))
  await db.query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [db.name])
  await second.waitFor(({ msg }) => msg === 'Replication has started')
  await db.query(`UPDATE products SET title = 'b'`)
  await soon(() => expect(titles().at(-1)).toBe('b'))
  const before = titles()

  second.kill()
  expect(await second.exited).toMatchObject({ code: 0 })
  api.heal()
  first.kill('SIGCONT')
  await first.waitFor(({ msg }) => msg.startsWith('Another process has taken the slot over'))
  await db.query(`UPDATE products SET title = 'c'`)
  await soon(() => expect(titles().at(-1)).toBe('c'))
  expect(titles()).toEqual([...before, 'c'])
  expect(first.logs().filter(({ code }) => code === 'SLOT_REPLACED')).toEqual([])
  first.kill()
  expect(await first.exited).toMatchObject({ code: 0 })
})
