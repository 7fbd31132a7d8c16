import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.js'
import { seriesOf, type WatchedSidecar, watchedSidecar } from '../support/watched-sidecar.js'

const secret = 'a title that nobody but SafetyKit is to see'

let db: TestDatabase
let proxy: TcpProxy
let emulator: Emulator
let sidecar: WatchedSidecar

beforeAll(async () => {
  db = await createDatabase({ sql: 'CREATE TABLE products (id text PRIMARY KEY, title text NOT NULL)' })
  proxy = await tcpProxy(db.url)
  emulator = await startEmulator({ apiKey: 'sk_test_0123456789' })
  sidecar = await watchedSidecar({
    databaseUrl: proxy.url(db.url),
    emulator,
    config: {
      slot: { name: db.name },
      parking: { retryAfterMs: [3_600_000] },
      tables: { 'public.products': { namespace: 'products', onDelete: 'tombstone', fields: { title: true } } },
    },
  })
})

afterAll(async () => {
  await sidecar.close()
  await emulator.close()
  await proxy.close()
  await db.drop()
})

const insert = (id: string): Promise<unknown> => db.query('INSERT INTO products VALUES ($1, $2)', [id, secret])

it('tells what came in, what became of it, how the API answered, and how far behind it is', async () => {
  emulator.faults.add({ do: { reject: 422, message: 'no' }, when: { ids: ['id-of-a-refused-one'] } })
  emulator.faults.add({ do: { status: 503 }, when: { path: 'add', times: 1 } })
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
      safetykit_uncaptured_tables: 0,
    }
    expect(Object.fromEntries(Object.keys(expected).map((name) => [name, series.get(name)]))).toEqual(expected)
  })
  const series = await sidecar.metrics()
  const value = (name: string): number => series.get(name) ?? Number.NaN
  expect(value('safetykit_api_request_objects_sum')).toBeGreaterThanOrEqual(6)
  expect(value('safetykit_api_request_bytes_sum')).toBeGreaterThan(6 * 20)
  expect(value('safetykit_ledger_transaction_duration_seconds_count{outcome="committed"}')).toBeGreaterThan(1)
  expect(value('safetykit_slot_retained_bytes')).toBeGreaterThan(0)
  expect(value('process_resident_memory_bytes')).toBeGreaterThan(0)
  expect(value('nodejs_eventloop_lag_seconds')).toBeGreaterThanOrEqual(0)
  const text = await sidecar.metricsText()
  for (const hidden of [secret, 'id-of-a-refused-one', emulator.apiKey]) expect(text).not.toContain(hidden)
})

it('names metrics as Prometheus does: with help, in base units, and _total for what only grows', async () => {
  const typed = [...(await sidecar.metricsText()).matchAll(/^# HELP (\S+) (.+)\n# TYPE \1 (\w+)$/gm)]
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

describe('examples/monitoring', () => {
  const example = (name: string): Promise<string> =>
    readFile(new URL(`../../examples/monitoring/${name}`, import.meta.url), 'utf8')

  /** Every metric of the sidecar, as it can be named in a query. */
  async function served(): Promise<Set<string>> {
    const typed = (await sidecar.metricsText()).matchAll(/^# TYPE (\S+) (\w+)$/gm)
    return new Set(
      [...typed].flatMap(([, name, type]) =>
        type === 'histogram' ? ['_bucket', '_sum', '_count'].map((suffix) => `${name}${suffix}`) : [`${name}`],
      ),
    )
  }

  const named = (query: string): string[] => query.match(/\b(safetykit|process|nodejs)_[a-z0-9_]+/g) ?? []

  it('has a dashboard whose every query names metrics that are served', async () => {
    const dashboard: { panels: { title: string; type: string; targets?: { expr: string }[] }[] } = JSON.parse(
      await example('dashboard.json'),
    )
    const names = await served()
    const panels = dashboard.panels.filter(({ type }) => type !== 'row')
    expect(panels.length).toBeGreaterThan(15)
    for (const { title, targets = [] } of panels) {
      expect(targets.length, title).toBeGreaterThan(0)
      for (const { expr } of targets) {
        expect(named(expr).length, expr).toBeGreaterThan(0)
        for (const name of named(expr)) expect(names, `${title}: ${expr}`).toContain(name)
      }
    }
  })

  it('has alerts that name metrics that are served, and say what is wrong, what it means and where to read on', async () => {
    const guide = await readFile(new URL('../../docs/guides/operating.md', import.meta.url), 'utf8')
    const headings = new Set([...guide.matchAll(/^#+ (Safetykit\w+)$/gm)].map(([, name = '']) => name.toLowerCase()))
    const names = await served()
    const rules = (await example('alerts.yml')).split(/^ {6}- (?=alert:)/m).slice(1)
    expect(rules.length).toBeGreaterThan(15)
    const alerts = new Set<string>()
    for (const rule of rules) {
      const [, alert = ''] = /^alert: (Safetykit[A-Za-z]+)$/m.exec(rule) ?? []
      expect(alert, rule).not.toBe('')
      expect(alerts).not.toContain(alert)
      alerts.add(alert)
      const [, expr = ''] = /^ {8}expr: (?:\|-\n)?([\s\S]+?)\n {8}\w/m.exec(rule) ?? []
      expect(named(expr).length, rule).toBeGreaterThan(0)
      for (const name of named(expr)) expect(names, alert).toContain(name)
      expect(rule).toMatch(/^ {10}severity: (warning|critical)$/m)
      expect(rule).toMatch(/^ {10}summary: ['"]?\S.{10,}$/m)
      expect(rule).toMatch(/^ {10}description: ['"]?\S.{20,}$/m)
      const [, anchor] = /^ {10}runbook_url: \S+docs\/guides\/operating\.md#(\S+)$/m.exec(rule) ?? []
      expect(anchor, alert).toBe(alert.toLowerCase())
      expect(headings, `docs/guides/operating.md has no heading ${alert}`).toContain(anchor)
    }
  })
})

it('answers while the database does not, with what the process knows itself', async () => {
  proxy.blackHole()
  await soon(async () => {
    const series = await sidecar.metrics()
    expect(series.get('safetykit_database_up{database="ledger"}')).toBe(0)
    expect(series.get('safetykit_ready')).toBe(0)
    expect(series.has('safetykit_dirty_keys')).toBe(false)
    expect(series.get('safetykit_api_requests_in_flight')).toBe(0)
    expect(series.get('process_resident_memory_bytes')).toBeGreaterThan(0)
  })
})
