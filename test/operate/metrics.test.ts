import { beforeEach, expect, it, onTestFinished } from 'vitest'
import type { Emulator } from '../../src/emulator/index.js'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { tcpProxy } from '../support/tcp-proxy.js'
import { seriesOf, type WatchedSidecar, watchedSidecar } from '../support/watched-sidecar.js'

const secret = 'a title that nobody but SafetyKit is to see'

let db: TestDatabase
let emulator: Emulator

beforeEach(async () => {
  db = await createDatabase({ sql: 'CREATE TABLE products (id text PRIMARY KEY, title text NOT NULL)' })
  // In this order: what was made last ends first, and the sidecar is made last.
  onTestFinished(() => db.drop())
  emulator = await emulatorForTest({ apiKey: 'sk_test_0123456789' })
})

const start = (databaseUrl = db.url): Promise<WatchedSidecar> =>
  watchedSidecar({
    databaseUrl,
    emulator,
    config: {
      slot: { name: db.name },
      parking: { retryAfterMs: [3_600_000] },
      tables: {
        'public.products': { namespace: 'products', onDelete: 'tombstone', fields: { title: true } },
      },
    },
  })

const insert = (id: string): Promise<unknown> => db.query('INSERT INTO products VALUES ($1, $2)', [id, secret])

it('tells what came in, what became of it, how the API answered, and how far behind it is', async () => {
  emulator.faults.add({ do: { reject: 422, message: 'no' }, when: { ids: ['id-of-a-refused-one'] } })
  emulator.faults.add({ do: { status: 503 }, when: { path: 'add', times: 1 } })
  const sidecar = await start()
  for (const id of ['one', 'two', 'id-of-a-refused-one']) await insert(id)
  await soon(async () => expect((await db.query('SELECT FROM safetykit.objects')).rowCount).toBe(3))
  await db.query("UPDATE products SET title = 'another' WHERE id = 'one'")
  await db.query("DELETE FROM products WHERE id = 'two'")

  await soon(async () => {
    const series = await sidecar.metrics()
    const expected = {
      'safetykit_changes_total{door="wal",kind="insert"}': 3,
      'safetykit_changes_total{door="wal",kind="update"}': 1,
      'safetykit_changes_total{door="wal",kind="delete"}': 1,
      'safetykit_changes_total{door="dirty",kind="key"}': 0,
      'safetykit_objects_settled_total{outcome="accepted"}': 4,
      'safetykit_objects_settled_total{outcome="parked"}': 1,
      'safetykit_objects_refused{namespace="products",state="parked"}': 1,
      safetykit_api_request_retries_total: 1,
      'safetykit_api_request_duration_seconds_count{call="settings",status="200"}': 1,
      'safetykit_api_request_duration_seconds_count{call="add",status="503"}': 1,
      safetykit_api_requests_in_flight: 0,
      safetykit_api_requests_in_flight_limit: 16,
      safetykit_pending_bytes: 0,
      'safetykit_phase{phase="streaming"}': 1,
      'safetykit_phase{phase="spilling"}': 0,
      safetykit_ready: 1,
      'safetykit_database_up{database="ledger"}': 1,
      safetykit_slot_active: 1,
      safetykit_slot_usable: 1,
      safetykit_slot_lag_seconds: 0,
      safetykit_dirty_keys: 0,
      safetykit_dirty_oldest_age_seconds: 0,
      safetykit_stalls_total: 0,
      safetykit_slots_recreated_total: 0,
      safetykit_spilled_keys_total: 0,
      safetykit_mapping_misfits: 0,
    }
    expect(Object.fromEntries(Object.keys(expected).map((name) => [name, series.get(name)]))).toEqual(expected)
  })
  const series = await sidecar.metrics()
  const number = (name: string): number => series.get(name) ?? Number.NaN
  expect(number('safetykit_api_request_objects_sum')).toBeGreaterThanOrEqual(6)
  expect(number('safetykit_api_request_bytes_sum')).toBeGreaterThan(6 * 20)
  expect(number('safetykit_ledger_transaction_duration_seconds_count{outcome="committed"}')).toBeGreaterThan(1)
  expect(number('safetykit_slot_retained_bytes')).toBeGreaterThan(0)
  expect(number('process_resident_memory_bytes')).toBeGreaterThan(0)
  expect(number('nodejs_eventloop_lag_seconds')).toBeGreaterThanOrEqual(0)
  const text = await sidecar.metricsText()
  for (const hidden of [secret, 'id-of-a-refused-one', emulator.apiKey]) expect(text).not.toContain(hidden)
})

it('names metrics as Prometheus does: with help, a unit of its base units, and _total for what only grows', async () => {
  const text = await (await start()).metricsText()
  const typed = [...text.matchAll(/^# HELP (\S+) (.+)\n# TYPE \1 (\w+)$/gm)]
  const own = typed.filter(([, name]) => name?.startsWith('safetykit_'))
  expect(own.length).toBeGreaterThan(35)
  for (const [, name, , type] of own) {
    expect(name?.endsWith('_total'), name).toBe(type === 'counter')
    expect(name).not.toMatch(/_(ms|milliseconds|minutes|kb|mb|percent)(_|$)/)
  }
  const foreign = typed.map(([, name = '']) => name).filter((name) => !/^(safetykit|process|nodejs)_/.test(name))
  expect(foreign).toEqual([])
})

it('asks the databases once for many scrapers, over one connection', async () => {
  const sidecar = await start()
  const texts = await Promise.all(Array.from({ length: 50 }, () => sidecar.metricsText()))
  const samples = texts.map((text) => seriesOf(text).get('safetykit_database_sample_duration_seconds'))
  expect(new Set(samples).size).toBe(1)
  expect(samples[0]).toBeGreaterThan(0)
  const { rows } = await db.query(
    `SELECT count(*)::integer AS connections FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'safetykit-sync metrics'`,
  )
  expect(rows).toEqual([{ connections: 1 }])
})

it('answers while the database does not, with what the process knows itself', async () => {
  const proxy = await tcpProxy(db.url)
  try {
    const sidecar = await start(proxy.url(db.url))
    await soon(async () => expect((await sidecar.metrics()).get('safetykit_phase{phase="streaming"}')).toBe(1))
    proxy.blackHole()
    await soon(async () => {
      const series = await sidecar.metrics()
      expect(series.get('safetykit_database_up{database="ledger"}')).toBe(0)
      expect(series.get('safetykit_ready')).toBe(0)
      expect(series.has('safetykit_dirty_keys')).toBe(false)
      expect(series.get('safetykit_api_requests_in_flight')).toBe(0)
      expect(series.get('process_resident_memory_bytes')).toBeGreaterThan(0)
    })
    sidecar.kill('SIGKILL')
    await sidecar.exited
  } finally {
    await proxy.close()
  }
})
