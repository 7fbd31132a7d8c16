import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { startEmulator } from '../../src/emulator/index.js'
import { createDatabase } from '../support/postgres.js'
import { type RunningCommand, runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'
import { tcpProxy } from '../support/tcp-proxy.js'

/** Two sidecars, the first with a way of its own to the API. */
async function rig(capture: 'replication' | 'trigger') {
  const db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)' })
  onTestFinished(() => db.drop())
  const emulator = await startEmulator()
  onTestFinished(() => emulator.close())
  const api = await tcpProxy(emulator.url)
  onTestFinished(() => api.close())
  const directory = await writeConfig({
    ...(capture === 'replication' ? { capture, slot: { name: db.name } } : { capture }),
    results: 'off',
    delivery: { retryBaseMs: 20, retryMaxMs: 500 },
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  onTestFinished(() => directory.remove())
  const env = { DATABASE_URL: db.url, SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey }
  const options = { cwd: directory.dir, env }
  expect((await runCommand(['migrate'], options)).code).toBe(0)
  const titles = (): unknown[] => emulator.history('products', '1').map(({ data }) => data.title)
  const start = (url: string): RunningCommand => {
    const sidecar = startSidecar({ ...options, env: { ...env, SAFETYKIT_BASE_URL: url.replace(/\/$/, '') } })
    onTestFinished(() => sidecar.kill('SIGKILL'))
    return sidecar
  }
  const first = start(api.url(emulator.url))
  const started = capture === 'replication' ? 'Replication has started' : 'Starting'
  await first.waitFor(({ msg }) => msg === started)
  await db.query(`INSERT INTO products VALUES (0, 'delivered')`)
  // Recorded, too: an answer that is cut off would be asked for again, and hold up what comes next.
  await soon(async () => expect((await db.query('SELECT FROM safetykit.objects')).rowCount).toBe(1))
  /** Of the first one, which is frozen then. */
  const takeOver = async (): Promise<RunningCommand> => {
    first.kill('SIGSTOP')
    const second = start(emulator.url)
    await db.query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [db.name])
    await second.waitFor(({ msg }) => msg === started)
    await db.query(`UPDATE products SET title = 'b' WHERE id = 1`)
    await soon(() => expect(titles().at(-1)).toBe('b'))
    return second
  }
  return { db, emulator, api, titles, first, takeOver }
}

test('a sidecar that was frozen while its standby read the slot sends nothing of what it had in memory', async () => {
  const { db, api, titles, first, takeOver } = await rig('replication')
  api.refuse()
  api.cut()
  await db.query(`INSERT INTO products VALUES (1, 'a')`)
  await first.waitFor(({ msg }) => msg === 'A request failed and is tried again')
  const second = await takeOver()
  const before = titles()

  second.kill()
  expect(await second.exited).toMatchObject({ code: 0 })
  api.heal()
  first.kill('SIGCONT')
  await first.waitFor(({ msg }) => msg.startsWith('Another process has taken the slot over'))
  await db.query(`UPDATE products SET title = 'c' WHERE id = 1`)
  await soon(() => expect(titles().at(-1)).toBe('c'))
  expect(titles()).toEqual([...before, 'c'])
  expect(first.logs().filter(({ code }) => code === 'SLOT_REPLACED')).toEqual([])
  first.kill()
  expect(await first.exited).toMatchObject({ code: 0 })
})

test.each([
  'replication',
  'trigger',
] as const)('a request that was under way when its sidecar was frozen, and arrives late, is made good (%s)', async (capture) => {
  const { db, api, titles, first, takeOver } = await rig(capture)
  api.cut()
  api.delay(600_000)
  await db.query(`INSERT INTO products VALUES (1, 'a')`)
  await soon(() => expect(api.waitingBytes()).toBeGreaterThan(0))
  await takeOver()
  api.heal()
  await soon(() => expect(titles()).toEqual(['b', 'a']))
  first.kill('SIGCONT')
  await soon(() => expect(titles()).toEqual(['b', 'a', 'b']))
})

test.each([
  'replication',
  'trigger',
] as const)('the same, where it was told to end before, and never reads the answer (%s)', async (capture) => {
  const { db, emulator, api, titles, first, takeOver } = await rig(capture)
  api.cut()
  api.delay(600_000)
  await db.query(`INSERT INTO products VALUES (1, 'a')`)
  await soon(() => expect(api.waitingBytes()).toBeGreaterThan(0))
  first.kill()
  await first.waitFor(({ msg }) => msg.startsWith('Stopping'))
  // Until it waits for the answer alone, which nobody can see from here.
  await sleep(1_000)
  await takeOver()
  const lost = emulator.faults.add({ when: { path: 'add', ids: ['1'] }, do: { resetAfterAccept: true } })
  api.heal()
  await soon(() => expect(titles()).toEqual(['b', 'a']))
  lost.remove()
  first.kill('SIGCONT')
  expect(await first.exited).toMatchObject({ code: 0 })
  await soon(() => expect(titles()).toEqual(['b', 'a', 'b']))
})
