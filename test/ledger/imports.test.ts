import { truncate } from 'node:fs/promises'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { ManifestSlice, PartObject } from '../../src/delivery/import/manifest.js'
import { type AcceptedImport, ImportRecording, type Moving } from '../../src/ledger/imports.js'
import { Ledger } from '../../src/ledger/ledger.js'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { openLedgerPool } from '../../src/ledger/postgres.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { spoolForTest } from '../support/spool.js'

let db: TestDatabase
let recording: ImportRecording
let pool: pg.Pool

beforeAll(async () => {
  db = await createDatabase()
  await migrateLedger(await db.client(), 'safetykit')
  pool = openLedgerPool({ connectionString: db.url, max: 3, onError: () => {} })
  recording = new ImportRecording({ pool, schema: 'safetykit' })
})
beforeEach(() => db.query('TRUNCATE safetykit.objects, safetykit.requests, safetykit.submissions'))
afterAll(async () => {
  await pool.end()
  await db.drop()
})

const acceptedAt = new Date('2026-01-02T03:04:05.678Z')

interface Made extends AcceptedImport {
  readonly slices: readonly ManifestSlice[]
}

async function imported(objects: readonly Partial<PartObject>[], requestId = 'req_1'): Promise<Made> {
  const spool = await spoolForTest()
  const part = spool.create()
  for (const [index, object] of objects.entries()) {
    const id = object.id ?? String(index + 1)
    part.add({ id, json: `{"id":"x"}`, fingerprint: `f-${index + 1}`, lsn: null, expected: null, key: null, ...object })
  }
  const { name, objects: objectCount } = await part.finish()
  const slices: ManifestSlice[] = []
  for await (const slice of spool.manifest(name)) slices.push(slice)
  return {
    namespace: 'products',
    source: 'public.products',
    requestId,
    objectKey: 'k',
    objectCount,
    acceptedAt,
    slices,
  }
}

const moves = (sql: string) => () => ({ sql, values: [] })
const always = moves('SELECT 1')

async function record(made: Made, moving: Moving = always): Promise<boolean> {
  let done = true
  for (const slice of made.slices) {
    const last = slice === made.slices.at(-1)
    done = (await recording.record(made, { slice, last, moving })) && done
  }
  return done
}

const objects = async () =>
  (
    await db.query(
      'SELECT object_id, state, request_id, fingerprint, lsn::text FROM safetykit.objects ORDER BY object_id',
    )
  ).rows
const submissions = async () =>
  (await db.query('SELECT object_id, request_id, submitted_at, key FROM safetykit.submissions ORDER BY object_id')).rows

test('new objects, their submissions and the request are recorded, with what is done in the same transaction', async () => {
  const done = await record(
    await imported([{ lsn: 0x1_0000_0010n }, {}]),
    moves("INSERT INTO safetykit.dirty (source) VALUES ('within') RETURNING 1"),
  )
  expect(done).toBe(true)
  expect(await objects()).toEqual([
    { object_id: '1', state: 'accepted', request_id: 'req_1', fingerprint: 'f-1', lsn: '1/10' },
    { object_id: '2', state: 'accepted', request_id: 'req_1', fingerprint: 'f-2', lsn: null },
  ])
  expect(await submissions()).toEqual([
    { object_id: '1', request_id: 'req_1', submitted_at: acceptedAt, key: null },
    { object_id: '2', request_id: 'req_1', submitted_at: acceptedAt, key: null },
  ])
  const { rows } = await db.query('SELECT * FROM safetykit.requests')
  expect(rows).toMatchObject([
    {
      request_id: 'req_1',
      kind: 'import',
      object_count: 2,
      status: 'accepted',
      object_key: 'k',
      created_at: acceptedAt,
      completed_at: null,
    },
  ])
  expect((await db.query("SELECT FROM safetykit.dirty WHERE source = 'within'")).rowCount).toBe(1)
})

test('nothing is recorded where the transaction is not wanted any more', async () => {
  expect(await record(await imported([{}]), moves('SELECT 1 WHERE false'))).toBe(false)
  expect([await objects(), await submissions()]).toEqual([[], []])
})

test('an object that another process recorded meanwhile stays as that one has it, and the history tells of both', async () => {
  await db.query(`INSERT INTO safetykit.objects (namespace, object_id, source, state, request_id, fingerprint)
    VALUES ('products', '2', 'public.products', 'accepted', 'req_live', 'newer')`)
  expect(await record(await imported([{}, {}, {}]))).toBe(true)
  expect(
    (await objects()).map(({ object_id, request_id, fingerprint }) => [object_id, request_id, fingerprint]),
  ).toEqual([
    ['1', 'req_1', 'f-1'],
    ['2', 'req_live', 'newer'],
    ['3', 'req_1', 'f-3'],
  ])
  expect(await submissions()).toHaveLength(3)
})

test('an object that was known is updated where the ledger still has what it was compared with', async () => {
  await db.query(`INSERT INTO safetykit.objects (namespace, object_id, source, state, request_id, fingerprint, attempts, error, key)
    SELECT 'products', id, 'public.products', state, request, 'old', 3, '{}', '{}' FROM (VALUES
      ('same', 'accepted', 'req_0'), ('moved', 'accepted', 'req_live'), ('refused', 'dead', NULL)) AS o (id, state, request)`)
  const known = [
    { id: 'same', expected: 'req_0' },
    { id: 'moved', expected: 'req_0' },
    { id: 'refused', expected: '' },
    { id: 'gone', expected: 'req_0' },
  ]
  await record(await imported(known))
  expect((await objects()).map(({ object_id, state, request_id }) => [object_id, state, request_id])).toEqual([
    ['moved', 'accepted', 'req_live'],
    ['refused', 'accepted', 'req_1'],
    ['same', 'accepted', 'req_1'],
  ])
  const { rows } = await db.query("SELECT attempts, error, key FROM safetykit.objects WHERE object_id = 'refused'")
  expect(rows).toEqual([{ attempts: 0, error: null, key: null }])
})

test.each([
  'tab\there',
  'line\nbreak',
  'back\\slash \\N',
  '\\N',
  'Grüße 🙂 中',
  'a "quote", {brace}',
  '',
  'NULL',
])('an id and a key of %j come into the ledger as they are, by either way', async (id) => {
  const key = { id, n: id }
  await record(await imported([{ id, key }]))
  expect((await objects()).map(({ object_id }) => object_id)).toEqual([id])
  expect((await submissions()).map((row) => row.key)).toEqual([key])
  await record(await imported([{ id, key, expected: 'req_1' }, { id: 'another' }], 'req_2'))
  await record(await imported([{ id: 'another' }, { id: `${id}2` }], 'req_3'))
  const held = new Map((await objects()).map(({ object_id, request_id }) => [object_id, request_id]))
  expect(held).toEqual(
    new Map([
      [id, 'req_2'],
      ['another', 'req_2'],
      [`${id}2`, 'req_3'],
    ]),
  )
})

test('a manifest of many thousand entries is read as it was written', async () => {
  const count = 50_000
  const made = await imported(
    Array.from({ length: count }, (_, index) => ({ id: `é-${index}`, expected: index % 2 ? 'r' : null })),
  )
  expect(made.slices.reduce((sum, slice) => sum + slice.objects, 0)).toBe(count)
  await record(made)
  const { rows } = await db.query(
    `SELECT count(DISTINCT object_id)::integer AS submitted, min(object_id), max(object_id) FROM safetykit.submissions`,
  )
  expect(rows).toEqual([{ submitted: count, min: 'é-0', max: 'é-9999' }])
  expect((await objects()).length).toBe(count / 2)
})

test('known objects are found by their ids, however wrong the statistics are', async () => {
  const objects = Array.from({ length: 20_000 }, (_, index) => ({ id: `id-${index}` }))
  await record(await imported(objects.slice(0, 5_000)))
  const again = await imported(
    objects.map((object) => ({ ...object, expected: 'req_1' })),
    'req_2',
  )
  const plans: string[] = []
  const explained = new ImportRecording({
    schema: 'safetykit',
    pool: {
      async query(text, values) {
        const { rows } = await pool.query(`EXPLAIN ${String(text)}`, values)
        plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'))
        return pool.query(String(text), values)
      },
    },
  })
  for (const slice of again.slices) await explained.record(again, { slice, last: true, moving: always })
  expect((await db.query("SELECT FROM safetykit.objects WHERE request_id = 'req_2'")).rowCount).toBe(5_000)
  expect(plans).toHaveLength(1)
  // By the whole key, not by a part of it over and over.
  expect(plans[0]).toMatch(/Index Cond: \(\(namespace = .*\) AND \(object_id = /)
})

test('of several slices the request comes with the last one', async () => {
  const count = 20_001
  const made = await imported(Array.from({ length: count }, () => ({})))
  const [first, second] = made.slices
  if (first === undefined || second === undefined) throw new Error('there are two slices')
  await recording.record(made, { slice: first, last: false, moving: always })
  expect((await db.query('SELECT FROM safetykit.requests')).rowCount).toBe(0)
  await recording.record(made, { slice: second, last: true, moving: always })
  expect((await db.query('SELECT FROM safetykit.requests')).rowCount).toBe(1)
  expect([(await objects()).length, (await submissions()).length]).toEqual([count, count])
})

test('a transaction that fails leaves nothing, and its connection as good as before', async () => {
  const made = await imported([{}, {}])
  const fails = () => record(made, moves('SELECT 1/0'))
  for (let time = 0; time < 4; time += 1) await expect(fails()).rejects.toMatchObject({ code: '22012' })
  expect([await objects(), await submissions()]).toEqual([[], []])
  expect(await record(made)).toBe(true)
})

test('a manifest that was cut off is told', async () => {
  const spool = await spoolForTest()
  const part = spool.create()
  part.add({ id: '1', json: '{}', fingerprint: 'f', lsn: null, expected: null, key: null })
  const finished = await part.finish()
  expect(await spool.holds(finished)).toBe(true)
  const file = spool.dataFile(finished.name).replace('.jsonl', '.manifest')
  await truncate(file, finished.manifestBytes - 3)
  expect(await spool.holds(finished)).toBe(false)
})

test('two imports and receipts of the same objects at once wait for each other, and none fails', async () => {
  const ledger = new Ledger({ pool, schema: 'safetykit' })
  const ids = Array.from({ length: 3_000 }, (_, index) => `${(index * 7919) % 3_000}`)
  const made = await Promise.all([
    imported(
      ids.map((id) => ({ id })),
      'req_a',
    ),
    imported(
      ids.toReversed().map((id) => ({ id })),
      'req_b',
    ),
  ])
  const receipt = {
    namespace: 'products',
    requestId: 'req_c',
    acceptedAt,
    objects: ids.toReversed().map((id) => ({
      id,
      source: 'public.products',
      sending: { fingerprint: 'f', lsn: null },
      known: null,
      key: () => ({ id }),
    })),
  }
  await Promise.all([
    ...made.map((one) => record(one)),
    ledger.record({ receipts: [receipt], parked: [], deferred: [], unparked: [] }),
  ])
  expect((await objects()).length).toBe(3_000)
})

test('what was accepted before an import was found to have succeeded, and is recorded after, comes again', async () => {
  const ledger = new Ledger({ pool, schema: 'safetykit' })
  await db.query('TRUNCATE safetykit.dirty')
  await record(await imported([{}, {}], 'req_import'))
  await db.query("UPDATE safetykit.requests SET status = 'succeeded', updated_at = now()")
  const receiptOf = (id: string, at: Date) => ({
    namespace: 'products',
    requestId: `req_${id}`,
    acceptedAt: at,
    objects: [
      {
        id,
        source: 'public.products',
        sending: { fingerprint: 'newer', lsn: null },
        known: { state: 'accepted' as const, requestId: 'req_import', fingerprint: 'f', lsn: null, attempts: 0 },
        key: () => ({ id }),
      },
    ],
  })
  const receipts = [receiptOf('1', new Date()), receiptOf('2', new Date(Date.now() + 3_600_000))]
  await ledger.record({ receipts, parked: [], deferred: [], unparked: [] })
  expect((await objects()).map(({ request_id }) => request_id)).toEqual(['req_1', 'req_2'])
  const { rows } = await db.query('SELECT key, force FROM safetykit.dirty')
  expect(rows).toEqual([{ key: { id: '1' }, force: true }])
})
