import { chmodSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { checkServer } from '../../src/capture/replication/server.js'
import { createSlot } from '../../src/capture/replication/slot.js'
import { startEmulator } from '../../src/emulator/index.js'
import { createDatabase, ownServer } from '../support/postgres.js'
import { runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

test('a second `run` takes over within 10 s when the first is killed, and loses nothing', async () => {
  const db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)' })
  onTestFinished(() => db.drop())
  const emulator = await startEmulator()
  onTestFinished(() => emulator.close())
  const directory = await writeConfig({
    capture: 'replication',
    slot: { name: db.name },
    results: 'off',
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  onTestFinished(() => directory.remove())
  const env = { DATABASE_URL: db.url, SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey }
  const options = { cwd: directory.dir, env }
  expect((await runCommand(['migrate'], options)).code).toBe(0)

  const first = startSidecar(options)
  await first.waitFor((line) => line.msg === 'Replication has started')
  const second = startSidecar(options)
  await soon(async () => {
    const { rows } = await db.query(`SELECT state FROM safetykit.heartbeats ORDER BY started_at`)
    expect(rows).toEqual([{ state: 'streaming' }, { state: 'standby' }])
  })
  await db.query(`INSERT INTO products SELECT n, 'a' FROM generate_series(1, 2000) n`)
  await soon(() => expect(emulator.objects('products').size).toBeGreaterThan(0))
  first.kill('SIGKILL')
  await first.exited
  const killedAt = Date.now()
  await db.query(`INSERT INTO products VALUES (2001, 'b')`)
  await second.waitFor((line) => line.msg === 'Replication has started')
  expect(Date.now() - killedAt).toBeLessThan(10_000)
  await soon(() => expect(emulator.objects('products').size).toBe(2_001))
  expect(second.logs().filter(({ level }) => level === 'error')).toEqual([])
  second.kill()
  expect(await second.exited).toMatchObject({ code: 0 })
})

test('a slot outlives a failover where the server can do that', async () => {
  const db = await createDatabase()
  onTestFinished(() => db.drop())
  const client = await db.client()
  await createSlot(client, db.name)
  const { rows } = await client.query<{ version: number; failover: boolean | null }>(
    `SELECT current_setting('server_version_num')::int AS version, (to_jsonb(s)->>'failover')::boolean AS failover
     FROM pg_replication_slots AS s WHERE slot_name = $1`,
    [db.name],
  )
  expect(rows[0]?.failover).toBe((rows[0]?.version ?? 0) >= 170_000 ? true : null)
})

test('a physical standby is refused with a clear word', async () => {
  const standby = await ownServer()
  onTestFinished(() => standby.remove())
  await standby.stop()
  const signal = path.join(standby.dataDir, 'standby.signal')
  writeFileSync(signal, '')
  chmodSync(signal, 0o666)
  await standby.start()
  const client = new pg.Client({ connectionString: standby.url() })
  await client.connect()
  onTestFinished(() => client.end())
  await expect(checkServer(client, 'safetykit')).rejects.toMatchObject({
    code: 'DATABASE_UNFIT',
    message: expect.stringContaining('is a standby'),
    hint: expect.stringContaining('primary'),
  })
})
