import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { formatStatus } from '../../src/cli/status-text.js'
import { painter } from '../../src/cli/terminal.js'
import { defineSync } from '../../src/index.js'
import { readStatus, type StatusReport } from '../../src/operate/status.js'
import { migrate } from '../../src/pipeline.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'

let db: TestDatabase

beforeAll(async () => {
  db = await createDatabase()
  await db.query(
    'CREATE TABLE products (id integer PRIMARY KEY, title text); CREATE TABLE sellers (id integer PRIMARY KEY, name text)',
  )
  await migrate({ resolved, databaseUrl: db.url })
})
afterAll(() => db.drop())
beforeEach(() => db.query('TRUNCATE safetykit.objects, safetykit.requests, safetykit.dirty'))

const { resolved } = defineSync({
  capture: 'trigger',
  tables: {
    'public.products': { namespace: 'products', fields: { title: true } },
    'public.sellers': { namespace: 'sellers', fields: { name: true } },
  },
})

async function read(): Promise<StatusReport> {
  const client = await db.client()
  return readStatus({ resolved, source: client, ledger: client })
}

const text = (report: StatusReport): string => formatStatus(report, painter(false))

const addObjects = (namespace: string, count: number, columns = "'accepted', NULL::timestamptz, NULL::jsonb") =>
  db.query(
    `INSERT INTO safetykit.objects (namespace, object_id, source, state, retry_at, error)
     SELECT $1, g::text, 'public.products', ${columns} FROM generate_series(1, $2::integer) g`,
    [namespace, count],
  )

describe('the status', () => {
  it('of a sync that has nothing yet lists its namespaces with zeroes', async () => {
    const report = await read()
    const none = { count: 0, estimated: false }
    expect(report).toEqual({
      at: expect.stringMatching(/^\d{4}-.*Z$/),
      slot: null,
      objects: [
        { namespace: 'products', accepted: none, parked: none, dead: none },
        { namespace: 'sellers', accepted: none, parked: none, dead: none },
      ],
      requests: [],
      dirty: { count: 0, estimated: false, oldestAgeSeconds: null, bySource: [], wholeTables: [] },
      work: { workers: 0, scans: [] },
      processes: [],
      problems: [],
      refused: { due: 0, nextRetryAt: null },
      lastErrors: [],
    })
    expect(text(report)).toContain('0 keys')
  })

  it('says what no longer fits: the mapping its table, or the triggers the mapping', async () => {
    await db.query('ALTER TABLE products RENAME title TO name')
    const [misnamed] = (await read()).problems
    expect(misnamed).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('title') })
    await db.query('ALTER TABLE products RENAME name TO title; DROP TRIGGER safetykit_update ON products')
    const report = await read()
    expect(report.problems).toEqual([
      {
        code: 'TRIGGERS_UNFIT',
        message: expect.stringContaining('public.products'),
        hint: expect.stringContaining('safetykit-sync migrate'),
      },
    ])
    expect(text(report)).toContain('TRIGGERS_UNFIT')
    await migrate({ resolved, databaseUrl: db.url })
    expect((await read()).problems).toEqual([])
  })

  it('counts exactly up to 100,000 objects a namespace, and says beyond that it estimates', async () => {
    await addObjects('products', 150_000)
    await addObjects('sellers', 1_000)
    await addObjects('retired', 7)
    await db.query('ANALYZE safetykit.objects')
    const { objects } = await read()
    expect(objects.map((one) => one.namespace)).toEqual(['products', 'retired', 'sellers'])
    const [products, retired, sellers] = objects
    expect(products?.accepted.estimated).toBe(true)
    expect(products?.accepted.count).toBeGreaterThan(100_000)
    expect(products?.accepted.count).toBeLessThan(200_000)
    expect(retired?.accepted).toEqual({ count: 7, estimated: false })
    expect(sellers?.accepted).toEqual({ count: 1_000, estimated: false })
  })

  it('never reads a large table as a whole', async () => {
    await addObjects('products', 150_000)
    await db.query('ANALYZE safetykit.objects')
    await db.query('SELECT pg_stat_force_next_flush()')
    const scans = async (): Promise<unknown> => {
      const { rows } = await db.query(
        `SELECT seq_tup_read FROM pg_stat_user_tables WHERE schemaname = 'safetykit' AND relname = 'objects'`,
      )
      return rows[0]?.seq_tup_read
    }
    const before = Number(await scans())
    const client = await db.client()
    await readStatus({ resolved, source: client, ledger: client })
    await client.query('SELECT pg_stat_force_next_flush()')
    expect(Number(await scans()) - before).toBeLessThan(150_000)
  })

  it('estimates the requests by status from a sample where there are many', async () => {
    await db.query(
      `INSERT INTO safetykit.requests (request_id, namespace, kind, object_count, status, created_at, updated_at)
       SELECT g::text, 'products', 'add', 1, CASE WHEN g % 4 = 0 THEN 'failed' ELSE 'accepted' END, now(), now()
         FROM generate_series(1, 600000) g`,
    )
    await db.query('ANALYZE safetykit.requests')
    const [accepted, failed] = (await read()).requests
    expect(accepted).toMatchObject({ status: 'accepted', estimated: true })
    expect(accepted?.count).toBeGreaterThan(300_000)
    expect(accepted?.count).toBeLessThan(600_000)
    expect(failed).toMatchObject({ status: 'failed', estimated: true })
    expect(failed?.count).toBeGreaterThan(75_000)
    expect(failed?.count).toBeLessThan(300_000)
  })

  it('counts keys that wait by table, with the age of the oldest, and tables that are marked as a whole apart', async () => {
    await db.query(
      `INSERT INTO safetykit.dirty (source, key, marked_at) VALUES
         ('public.products', '{"id":"1"}', now() - interval '90 s'), ('public.products', '{"id":"2"}', now()),
         ('public.sellers', '{"id":"1"}', now()), ('public.sellers', NULL, now() - interval '3 h')`,
    )
    const report = await read()
    expect(report.dirty).toMatchObject({
      count: 3,
      estimated: false,
      bySource: [
        { source: 'public.products', count: 2 },
        { source: 'public.sellers', count: 1 },
      ],
      wholeTables: [{ source: 'public.sellers', count: 1 }],
    })
    expect(report.dirty.oldestAgeSeconds).toBeGreaterThanOrEqual(90)
    expect(report.dirty.oldestAgeSeconds).toBeLessThan(3_600)
    expect(report.dirty.wholeTables[0]?.oldestAgeSeconds).toBeGreaterThanOrEqual(10_800)
    expect(text(report)).toMatch(/public\.sellers +whole table +3 h/)
  })

  it('counts a backlog of keys no further than a limit', async () => {
    await db.query(
      `INSERT INTO safetykit.dirty (source, key) SELECT 'public.products', '{"id":"1"}' FROM generate_series(1, 150000)`,
    )
    await db.query('ANALYZE safetykit.dirty')
    const { dirty } = await read()
    expect(dirty.estimated).toBe(true)
    expect(dirty.count).toBeGreaterThan(100_000)
    expect(dirty.count).toBeLessThan(200_000)
    expect(text(await read())).toMatch(/~1\d\d,\d{3} keys/)
  })

  it('says of parked objects how many are due and when the next one is', async () => {
    await addObjects('products', 3, `'parked', now() - interval '1 s', '{}'::jsonb`)
    await addObjects('sellers', 2, `'parked', timestamptz '2999-01-01 00:00:00+00' + g * interval '1 day', '{}'::jsonb`)
    await addObjects('retired', 4, `'dead', NULL::timestamptz, '{}'::jsonb`)
    const report = await read()
    expect(report.refused).toEqual({ due: 3, nextRetryAt: '2999-01-02T00:00:00.000Z' })
    expect(report.objects.map((one) => [one.namespace, one.parked.count, one.dead.count])).toEqual([
      ['products', 3, 0],
      ['retired', 0, 4],
      ['sellers', 2, 0],
    ])
    expect(text(report)).toContain('3 due now, the next one is due at 2999-01-02')
  })

  it('lists the ten last refused objects, the newest first', async () => {
    await addObjects(
      'products',
      12,
      `CASE WHEN g % 2 = 0 THEN 'dead' ELSE 'parked' END, CASE WHEN g % 2 = 1 THEN now() END,
       jsonb_build_object('code', 'API_REJECTED', 'status', 422, 'message', 'no ' || g,
                          'at', to_char(timestamptz '2026-01-01 00:00:00+00' + g * interval '1 h', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))`,
    )
    const { lastErrors } = await read()
    expect(lastErrors.map((one) => one.id)).toEqual(['12', '11', '10', '9', '8', '7', '6', '5', '4', '3'])
    expect(lastErrors[0]).toMatchObject({
      namespace: 'products',
      source: 'public.products',
      state: 'dead',
      code: 'API_REJECTED',
      status: 422,
      message: 'no 12',
      hint: null,
      retryAt: null,
    })
  })

  it('is aligned for people, and coloured only where it is told to be', async () => {
    await addObjects('products', 1_234)
    await addObjects('sellers', 5)
    const report = await read()
    expect(text(report)).toContain(
      [
        'objects',
        '  namespace  accepted  parked  dead',
        '  products      1,234       0     0',
        '  sellers           5       0     0',
      ].join('\n'),
    )
    expect(formatStatus(report, painter(true))).toContain(String.fromCharCode(27))
    expect(text(report)).not.toContain(String.fromCharCode(27))
  })
})
