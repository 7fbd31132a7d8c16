import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'
import { type OwnServer, ownServer } from '../support/server.js'
import { type ConfigDirectory, type RunningCommand, runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

let server: OwnServer
let emulator: Emulator
let directory: ConfigDirectory
let sidecar: RunningCommand

beforeEach(async () => {
  server = await ownServer({ flags: { fsync: 'on' } })
  emulator = await startEmulator()
  await sql('CREATE TABLE products (id bigint PRIMARY KEY, title text)')
  directory = await writeConfig({
    capture: 'replication',
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  const env = { DATABASE_URL: server.url(), SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey }
  expect(await runCommand(['migrate'], { cwd: directory.dir, env })).toMatchObject({ code: 0 })
  sidecar = startSidecar({ cwd: directory.dir, env })
  await sidecar.waitFor((line) => line.msg === 'Replication has started')
})
afterEach(async () => {
  sidecar.kill('SIGKILL')
  await sidecar.exited
  await emulator.close()
  await directory.remove()
  await server.remove()
})

async function sql(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: server.url() })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

const sent = () => emulator.objects('products').size

async function recorded(): Promise<number> {
  const client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  const { rows } = await client.query("SELECT count(*)::integer AS n FROM safetykit.objects WHERE state = 'accepted'")
  await client.end()
  return rows[0]?.n
}

test.each([
  'fast',
  'immediate',
] as const)('Postgres stopped (%s) and started in mid-stream: nothing is lost, and the sidecar goes on', async (mode) => {
  emulator.faults.add({ do: { latencyMs: 50 } })
  await sql(`INSERT INTO products SELECT n, 'Chair ' || n FROM generate_series(1, 6000) n`)
  await soon(() => expect(sent()).toBeGreaterThan(500))
  // Returns once the postmaster has exited: a walsender that waits for an ack that does not come would hang it.
  await server.stop(mode)
  await sleep(500)
  await server.start()
  await sql(`INSERT INTO products SELECT n, 'Chair ' || n FROM generate_series(6001, 6100) n`)
  await soon(() => expect(sent()).toBe(6_100))
  await soon(async () => expect(await recorded()).toBe(6_100))
  sidecar.kill('SIGTERM')
  expect(await sidecar.exited).toMatchObject({ code: 0 })
  expect(emulator.violations).toEqual([])
})

test('stop -m fast returns while the API is away and rows are unsettled; they come again', async () => {
  const outage = emulator.faults.add({ do: { status: 503 } })
  await sql(`INSERT INTO products SELECT n, 'Chair ' || n FROM generate_series(1, 500) n`)
  await soon(() => expect(emulator.stats.statuses[503]).toBeGreaterThan(0))
  await server.stop('fast')
  outage.remove()
  await server.start()
  await soon(async () => expect(await recorded()).toBe(500))
  expect(sent()).toBe(500)
})
