import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { KnownObject, Receipt, ReceiptObject, Records } from '../../src/delivery/ports.js'
import { SyncError } from '../../src/errors.js'
import { BackfillStore } from '../../src/ledger/backfills.js'
import { Horizon } from '../../src/ledger/horizon.js'
import { Ledger } from '../../src/ledger/ledger.js'
import { checkLedger, migrateLedger } from '../../src/ledger/migrate.js'
import { openLedgerPool, textArray } from '../../src/ledger/postgres.js'
import { silentLogger } from '../../src/logger.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'

let db: TestDatabase
let ledger: Ledger
let pool: pg.Pool

beforeAll(async () => {
  db = await createDatabase()
  await migrateLedger(await db.client(), 'safetykit')
  pool = openLedgerPool({ connectionString: db.url, max: 2, onError: () => {} })
  ledger = new Ledger({ pool, schema: 'safetykit' })
})
beforeEach(() => db.query('TRUNCATE safetykit.objects, safetykit.requests, safetykit.submissions, safetykit.dirty'))
afterAll(async () => {
  await pool.end()
  await db.drop()
})

const nothing: Records = { receipts: [], parked: [], deferred: [], unparked: [] }
const object = (id: string, known: KnownObject | null = null, fingerprint = `f-${id}`): ReceiptObject => ({
  id,
  source: 'public.products',
  sending: { fingerprint, lsn: 0x10n },
  known,
  key: () => ({ id }),
})
const receipt = (requestId: string, objects: ReceiptObject[]): Receipt => ({
  namespace: 'products',
  requestId,
  acceptedAt: new Date('2026-01-02T03:04:05.678Z'),
  objects,
})
const known = async (id: string): Promise<KnownObject | null> => (await ledger.lookup('products', [id]))[0] ?? null

describe('migrate', () => {
  test('runs from several processes at once, and makes everything once', async () => {
    const clients = await Promise.all([1, 2, 3, 4, 5].map(() => db.client()))
    const applied = await Promise.all(clients.map((client) => migrateLedger(client, 'other "schema"')))
    expect(applied.flat()).toEqual([
      'side tables',
      'leases',
      'imports and results',
      'heartbeats',
      'submissions by time',
    ])
    await checkLedger(db.pool, 'other "schema"')
    expect(await migrateLedger(clients[0]!, 'other "schema"')).toEqual([])
  })

  test('missing side tables are told with the command that makes them', async () => {
    const failure = await checkLedger(db.pool, 'nowhere').catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'SCHEMA_OUTDATED', hint: 'Run: safetykit-sync migrate' })
  })

  test('side tables of a newer version are left alone', async () => {
    const client = await db.client()
    await migrateLedger(client, 'newer')
    await db.query("INSERT INTO newer.migrations (version, name) VALUES (999, 'from the future')")
    await expect(checkLedger(db.pool, 'newer')).rejects.toMatchObject({ code: 'SCHEMA_NEWER' })
    await expect(migrateLedger(client, 'newer')).rejects.toMatchObject({ code: 'SCHEMA_NEWER' })
  })

  test('a role that may not create schemas is told what to grant, and nothing is half made', async () => {
    await db.query(`CREATE ROLE "${db.name}_weak" LOGIN`)
    const client = await db.client()
    await client.query(`SET ROLE "${db.name}_weak"`)
    const failure = await migrateLedger(client, 'forbidden').catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'DATABASE_UNFIT', hint: expect.stringContaining('GRANT CREATE ON DATABASE') })
    expect(failure).toMatchObject({ hint: expect.stringContaining('CREATE SCHEMA "forbidden" AUTHORIZATION') })
    const { rows } = await db.query("SELECT to_regnamespace('forbidden') AS found")
    expect(rows).toEqual([{ found: null }])

    // As the hint has it.
    await db.query(`CREATE SCHEMA forbidden AUTHORIZATION "${db.name}_weak"`)
    expect(await migrateLedger(client, 'forbidden')).toHaveLength(5)
    await db.query('CREATE SCHEMA closed')
    const closed = await migrateLedger(client, 'closed').catch((error: unknown) => error)
    const grant = `GRANT USAGE, CREATE ON SCHEMA "closed" TO "${db.name}_weak";`
    expect(closed).toMatchObject({
      code: 'DATABASE_UNFIT',
      message: expect.stringContaining('permission denied for schema closed'),
      hint: expect.stringContaining(grant),
    })
    await db.query(grant)
    expect(await migrateLedger(client, 'closed')).toHaveLength(5)
    await client.query('RESET ROLE')
    await db.query(`DROP OWNED BY "${db.name}_weak"; DROP ROLE "${db.name}_weak"`)
  })
})

test('what goes over all objects of a table may take longer than what is asked by key', async () => {
  const short = openLedgerPool({ connectionString: db.url, max: 1, statementTimeoutMs: 100, onError: () => {} })
  await expect(short.query('SELECT pg_sleep(2)')).rejects.toThrow('timeout')
  await ledger.record({ ...nothing, receipts: [receipt('req_1', [object('a')])] })
  await db.query(`CREATE FUNCTION slow_disk() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END';
    CREATE TRIGGER slow_disk BEFORE UPDATE ON safetykit.objects FOR EACH ROW EXECUTE FUNCTION slow_disk()`)
  await new BackfillStore({ pool: short, schema: 'safetykit' }).forget(['public.products'], ['products'])
  await db.query('DROP FUNCTION slow_disk CASCADE')
  expect(await known('a')).toMatchObject({ fingerprint: null })
  await short.end()
})

describe('receipts', () => {
  test('several requests are recorded together: objects, requests and submissions', async () => {
    const receipts = [receipt('req_1', [object('a'), object('b')]), receipt('req_2', [object('c')])]
    await ledger.record({ ...nothing, receipts })
    const objects = await db.query(
      'SELECT object_id, source, state, request_id, fingerprint, lsn::text, accepted_at FROM safetykit.objects ORDER BY 1',
    )
    const at = new Date('2026-01-02T03:04:05.678Z')
    const row = (object_id: string, request_id: string) => {
      const fingerprint = `f-${object_id}`
      return {
        object_id,
        source: 'public.products',
        state: 'accepted',
        request_id,
        fingerprint,
        lsn: '0/10',
        accepted_at: at,
      }
    }
    expect(objects.rows).toEqual([row('a', 'req_1'), row('b', 'req_1'), row('c', 'req_2')])
    const requests = await db.query('SELECT request_id, kind, object_count, status FROM safetykit.requests ORDER BY 1')
    expect(requests.rows).toEqual([
      { request_id: 'req_1', kind: 'add', object_count: 2, status: 'accepted' },
      { request_id: 'req_2', kind: 'add', object_count: 1, status: 'accepted' },
    ])
    const submissions = await db.query(
      'SELECT object_id, request_id, submitted_at FROM safetykit.submissions ORDER BY 1',
    )
    expect(submissions.rows.map((r) => [r.object_id, r.request_id, r.submitted_at])).toEqual([
      ['a', 'req_1', at],
      ['b', 'req_1', at],
      ['c', 'req_2', at],
    ])
  })

  test('a later request replaces the object, and the history keeps both', async () => {
    await ledger.record({ ...nothing, receipts: [receipt('req_1', [object('a')])] })
    await ledger.record({ ...nothing, receipts: [receipt('req_2', [object('a', await known('a'), 'f2')])] })
    expect(await known('a')).toMatchObject({ requestId: 'req_2', fingerprint: 'f2' })
    const { rows } = await db.query('SELECT request_id FROM safetykit.submissions ORDER BY 1')
    expect(rows.map((row) => row.request_id)).toEqual(['req_1', 'req_2'])
    expect((await db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0)
  })

  test('recording the same receipt again changes nothing, as after a commit whose answer was lost', async () => {
    const receipts = [receipt('req_1', [object('a')])]
    await ledger.record({ ...nothing, receipts })
    const again = [receipt('req_2', [object('a', await known('a'), 'f2'), object('b')])]
    await ledger.record({ ...nothing, receipts: again })
    await ledger.record({ ...nothing, receipts: again })
    expect(await known('a')).toMatchObject({ requestId: 'req_2', fingerprint: 'f2' })
    expect((await db.query('SELECT FROM safetykit.submissions')).rowCount).toBe(3)
    expect((await db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0)
  })

  test.each([
    ['a new object', null],
    ['a known object', { state: 'accepted', requestId: 'req_0', fingerprint: 'f', lsn: null, attempts: 0 } as const],
  ])('where another process met us on %s, its row stays and the object is marked dirty with force', async (_, seen) => {
    if (seen !== null) await ledger.record({ ...nothing, receipts: [receipt('req_0', [object('a')])] })
    await ledger.record({ ...nothing, receipts: [receipt('req_theirs', [object('a', await known('a'), 'theirs')])] })
    await ledger.record({ ...nothing, receipts: [receipt('req_ours', [object('a', seen, 'ours'), object('b')])] })
    expect(await known('a')).toMatchObject({ requestId: 'req_theirs', fingerprint: 'theirs' })
    expect(await known('b')).toMatchObject({ requestId: 'req_ours' })
    const { rows } = await db.query('SELECT source, key, force FROM safetykit.dirty')
    expect(rows).toEqual([{ source: 'public.products', key: { id: 'a' }, force: true }])
    const { rows: history } = await db.query("SELECT request_id FROM safetykit.submissions WHERE object_id = 'a'")
    expect(history.map((row) => row.request_id)).toContain('req_ours')
  })
})

describe('parked objects', () => {
  const error = new SyncError('API_REJECTED', 'The API answered 422: title must not be\u0000 empty', { hint: 'Fix it' })
  const parked = (retryAt: Date | null, attempts = 1) => {
    const place = { namespace: 'products', id: 'a', source: 'public.products', key: { id: 'a' } }
    return { ...nothing, parked: [{ ...place, error, status: 422, attempts, retryAt }] }
  }

  test('keep what was accepted before, and show why they were refused', async () => {
    await ledger.record({ ...nothing, receipts: [receipt('req_1', [object('a')])] })
    await ledger.record(parked(new Date(Date.now() + 60_000)))
    expect(await known('a')).toMatchObject({ state: 'parked', requestId: 'req_1', fingerprint: 'f-a', attempts: 1 })
    const { rows } = await db.query('SELECT error, key FROM safetykit.objects')
    expect(rows[0]).toEqual({
      error: {
        code: 'API_REJECTED',
        status: 422,
        message: 'The API answered 422: title must not be empty',
        hint: 'Fix it',
        at: expect.any(String),
      },
      key: { id: 'a' },
    })
    expect(await ledger.requeueDue([{ source: 'public.products', namespace: 'products' }], 10)).toBe(0)
  })

  test('have their keys put into dirty when their time has come, once; the dead never', async () => {
    const targets = [{ source: 'public.products', namespace: 'products' }]
    await ledger.record(parked(new Date(Date.now() - 1)))
    const due = await Promise.all([1, 2, 3].map(() => ledger.requeueDue(targets, 10)))
    expect(due.sort()).toEqual([0, 0, 1])
    const { rows } = await db.query('SELECT source, key, force FROM safetykit.dirty')
    expect(rows).toEqual([{ source: 'public.products', key: { id: 'a' }, force: false }])
    await ledger.record(parked(null, 7))
    expect(await ledger.requeueDue(targets, 10)).toBe(0)
    expect(await known('a')).toMatchObject({ state: 'dead', attempts: 7 })
  })

  test('are accepted again by a receipt, with nothing of the refusal left', async () => {
    await ledger.record(parked(new Date()))
    await ledger.record({ ...nothing, receipts: [receipt('req_1', [object('a', await known('a'))])] })
    const { rows } = await db.query('SELECT state, attempts, retry_at, error, key FROM safetykit.objects')
    expect(rows).toEqual([{ state: 'accepted', attempts: 0, retry_at: null, error: null, key: null }])
    expect((await db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0)
  })

  test('are forgotten when their row is gone and nothing of it was ever accepted', async () => {
    await ledger.record(parked(new Date()))
    await ledger.record({ ...nothing, unparked: [{ namespace: 'products', id: 'a' }] })
    expect(await known('a')).toBeNull()
    await ledger.record({ ...nothing, receipts: [receipt('req_1', [object('a')])] })
    await ledger.record(parked(new Date()))
    await ledger.record({ ...nothing, unparked: [{ namespace: 'products', id: 'a' }] })
    expect(await known('a')).toMatchObject({ state: 'accepted', requestId: 'req_1' })
  })
})

test('lookups are aligned with the ids asked for', async () => {
  await ledger.record({ ...nothing, receipts: [receipt('req_1', [object('a'), object('c')])] })
  const found = await ledger.lookup('products', ['c', 'b', 'a', 'c'])
  expect(found.map((row) => row?.fingerprint)).toEqual(['f-c', undefined, 'f-a', 'f-c'])
  expect(await ledger.lookup('elsewhere', ['a'])).toEqual([null])
})

test('no statement reads a whole side table, however wrong the statistics are', async () => {
  await db.query('SELECT pg_stat_reset()')
  await db.query(`INSERT INTO safetykit.objects (namespace, object_id, source, state, request_id, fingerprint)
    SELECT 'products', 'id-' || n, 's', 'accepted', 'req_0', 'f' FROM generate_series(1, 50000) n`)
  const ids = Array.from({ length: 1_000 }, (_, n) => `id-${n * 50 + 1}`)
  const seen = await ledger.lookup('products', ids)
  const objects = ids.map((id, index) => object(id, seen[index] ?? null))
  await ledger.record({ ...nothing, receipts: [receipt('req_1', objects)] })
  await pool.query('SELECT pg_stat_force_next_flush()')
  const { rows } = await pool.query(
    "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = 'safetykit.objects'::regclass",
  )
  // Other sessions report late what the tests before this one have read.
  expect(Number(rows[0]?.seq_tup_read)).toBeLessThan(1_000)
  expect(await known('id-1')).toMatchObject({ requestId: 'req_1' })
})

test('array literals are read by Postgres as the texts they were made of', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }).filter((value) => !value.includes('\u0000')),
    fc.constantFrom('NULL', 'null', '', '{}', '"', '\\', ',', ' a ', 'a b', "it's"),
    fc.constant(null),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(text), async (values) => {
      const { rows } = await db.query('SELECT to_json($1::text[]) AS read', [textArray(values)])
      expect(rows[0]?.read).toEqual(values)
    }),
    { numRuns: 300 },
  )
})

describe('the crash horizon', () => {
  const open = () => Horizon.open({ name: 'stream', store: ledger, step: 100n, logger: silentLogger })

  test('runs ahead of what is sent, and tells the process after a crash', async () => {
    const first = await open()
    expect(first.previous).toBe(0n)
    await first.cover(50n)
    expect(first.cover(150n)).toBeNull()
    await Promise.all([first.cover(151n), first.cover(1_000n)])
    expect((await open()).previous).toBeGreaterThanOrEqual(1_000n)
  })

  test('is cleared where the process ends in order', async () => {
    const first = await open()
    await first.cover(5_000n)
    await first.clear()
    expect((await open()).previous).toBe(0n)
  })
})
