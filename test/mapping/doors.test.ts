import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Cell, RowKey } from '../../src/capture/change.js'
import { readRows } from '../../src/capture/rows.js'
import { readChunk } from '../../src/capture/scan.js'
import { type BoundTable, bindMappings } from '../../src/mapping/bind.js'
import { type Catalog, readCatalog } from '../../src/mapping/catalog.js'
import { compileTable, type PlannedColumn } from '../../src/mapping/mapper.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { mappingOf } from './mapping-of.js'
import { settledClient } from './raw.js'

const columns = {
  i2: 'int2',
  i8: 'int8',
  f4: 'float4',
  f8: 'float8',
  num: 'numeric',
  yes: 'bool',
  txt: 'text',
  ci: 'citext',
  chr: 'char(6)',
  tstz: 'timestamptz',
  ts: 'timestamp',
  day: 'date',
  wait: 'interval',
  js: 'json',
  jsb: 'jsonb',
  bytes: 'bytea',
  net: 'inet',
  mood: 'mood',
  moods: 'mood[]',
  tags: 'tags',
  cost: 'list_price',
  times: 'timestamptz[]',
  span: 'tstzrange',
}

let database: TestDatabase
let client: pg.Client
let catalog: Catalog
let bound: BoundTable

beforeAll(async () => {
  const list = Object.entries(columns).map(([name, type]) => `${name} ${type}`)
  database = await createDatabase({
    sql: `
      CREATE EXTENSION citext;
      CREATE TYPE mood AS ENUM ('sad', 'so, "so"');
      CREATE DOMAIN tags AS text[]; CREATE DOMAIN price AS numeric(20, 4); CREATE DOMAIN list_price AS price;
      CREATE TABLE things (id int, "Group" text, ${list.join(', ')}, PRIMARY KEY ("Group", id));
      CREATE PUBLICATION p FOR TABLE things;
      -- Sessions that are not set as ours would write everything otherwise.
      DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Kolkata''', current_database());
                  EXECUTE format('ALTER DATABASE %I SET DateStyle = ''German''', current_database());
                  EXECUTE format('ALTER DATABASE %I SET IntervalStyle = ''iso_8601''', current_database());
                  EXECUTE format('ALTER DATABASE %I SET bytea_output = ''escape''', current_database());
                  EXECUTE format('ALTER DATABASE %I SET extra_float_digits = -5', current_database()); END $$`,
  })
  client = await settledClient(database)
  await client.query("SELECT pg_create_logical_replication_slot('doors_' || current_database(), 'pgoutput')")
  const mapping = mappingOf({ table: 'things', fields: Object.keys(columns) })
  catalog = await readCatalog(client, [mapping.table], { defaultSchema: 'public' })
  bound = bindMappings([mapping], catalog, { capture: 'replication' })[0]!
})

afterAll(() => database.drop())

/** The rows that were inserted since the last call, as pgoutput writes them (protocol 1). */
async function insertedRows(): Promise<{ relation: PlannedColumn[]; rows: Cell[][] }> {
  const { rows: messages } = await client.query<{ data: Buffer }>(
    `SELECT data FROM pg_logical_slot_get_binary_changes('doors_' || current_database(), NULL, NULL,
                                                         'proto_version', '1', 'publication_names', 'p')`,
  )
  const relation: PlannedColumn[] = []
  const rows: Cell[][] = []
  for (const { data } of messages) {
    let at = 0
    const bytes = (n: number) => {
      at += n
      return data.subarray(at - n, at)
    }
    const name = () => {
      const text = data.toString('utf8', at, data.indexOf(0, at))
      at = data.indexOf(0, at) + 1
      return text
    }
    const kind = bytes(1).toString()
    if (kind === 'R') {
      bytes(4)
      name()
      name()
      bytes(1)
      const count = bytes(2).readUInt16BE()
      for (let i = 0; i < count; i++) {
        bytes(1)
        relation.push({ name: name(), typeOid: bytes(4).readUInt32BE() })
        bytes(4)
      }
    } else if (kind === 'I') {
      bytes(5)
      const count = bytes(2).readUInt16BE()
      const cell = (): Cell => (bytes(1).toString() === 'n' ? null : bytes(bytes(4).readUInt32BE()).toString())
      rows.push(Array.from({ length: count }, cell))
    }
  }
  return { relation, rows }
}

const text = fc.string({ unit: 'grapheme', maxLength: 30 }).map((s) => s.replaceAll('\0', ''))
const micros = fc.bigInt({ min: -100_000_000_000_000_000n, max: 300_000_000_000_000_000n })
const instant = micros.map(
  (n) => `${new Date(Number(n / 1000n)).toISOString().replace('Z', '')}${String(n % 1000n).slice(-1)}`,
)
const number = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e30, max: 1e30 })
const time = instant.filter((s) => /^\d{4}-/.test(s) && !s.startsWith('0000')).map((s) => `${s}+00`)
const literal: Record<keyof typeof columns, fc.Arbitrary<string>> = {
  i2: fc.integer({ min: -32768, max: 32767 }).map(String),
  i8: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  f4: fc.float({ noNaN: true }).map(String),
  f8: fc.double().map(String),
  num: number.map(String),
  yes: fc.boolean().map(String),
  txt: text,
  ci: text,
  chr: fc.string({ maxLength: 6 }).map((s) => s.replaceAll('\0', '')),
  tstz: time,
  ts: time,
  day: time.map((s) => s.slice(0, 10)),
  wait: fc.integer().map((n) => `${n} days ${n % 1000} seconds`),
  js: fc.json({ maxDepth: 2 }).map((s) => ` ${s}\n`),
  jsb: fc.json({ maxDepth: 2 }).filter((s) => !s.includes('\\u0000')),
  bytes: fc.uint8Array({ maxLength: 20 }).map((b) => `\\x${Buffer.from(b).toString('hex')}`),
  net: fc.ipV4(),
  mood: fc.constantFrom('sad', 'so, "so"'),
  moods: fc.constantFrom('{}', '{sad,NULL}', '{"so, \\"so\\""}'),
  tags: fc.constantFrom('{}', '{a,"b c"}', '[0:1]={a,NULL}', '{{a},{b}}'),
  cost: fc.constantFrom('1.5', '-2', '12345678901234.5678'),
  times: time.map((s) => `{"${s}",NULL,infinity}`),
  span: time.map((s) => `["${s}",)`),
}

test('a row has the same JSON and the same fingerprint through the WAL, through a SELECT and through COPY', async () => {
  let next = 0
  const row = fc.record(Object.fromEntries(Object.entries(literal).map(([name, value]) => [name, fc.option(value)])))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(text, row), { minLength: 1, maxLength: 20 }), async (rows) => {
      const names = Object.keys(columns)
      for (const [group, values] of rows) {
        const parameters = names.map((name, i) => `$${i + 3}::text::${columns[name as keyof typeof columns]}`)
        await client.query(
          `INSERT INTO things (id, "Group", ${names.join(', ')}) VALUES ($1, $2, ${parameters.join(', ')})`,
          [next++, group, ...names.map((name) => values[name])],
        )
      }
      const wal = await insertedRows()
      const walPlan = compileTable(bound, wal.relation, catalog.types)
      if (!walPlan.fits) throw new Error('the WAL does not fit')
      const walCells = wal.rows.map((cells) => walPlan.columns.map((index) => cells[index]))
      const fromWal = walCells.map((cells) => walPlan.mappings[0]!.map(cells))
      expect(fromWal).toHaveLength(rows.length)

      const keys: RowKey[] = walCells.map((cells) => walPlan.key(cells))
      const read = await readRows(client, bound.rowTable, bound.readColumns, keys)
      const readPlan = compileTable(bound, read.columns, catalog.types)
      if (!readPlan.fits) throw new Error('the SELECT does not fit')
      const fromRead = read.rows.map((cells) =>
        readPlan.mappings[0]!.map(readPlan.columns.map((index) => cells![index])),
      )

      expect(fromRead).toEqual(fromWal)

      const fromCopy: unknown[] = []
      const wanted = new Set(fromWal.map((mapped) => mapped.id))
      await readChunk(
        { connect: async () => Object.assign(client, { release: () => {} }) as never },
        bound.rowTable,
        bound.readColumns,
        {
          after: null,
          limits: { rows: 100_000, size: 100_000_000 },
          begin: (described) => {
            const copyPlan = compileTable(bound, described, catalog.types)
            if (!copyPlan.fits) throw new Error('the COPY does not fit')
            return (cells) => {
              const mapped = copyPlan.mappings[0]!.map(cells)
              if (wanted.has(mapped.id)) fromCopy.push(mapped)
            }
          },
        },
      )
      expect(new Set(fromCopy)).toEqual(new Set(fromWal))
      for (const mapped of fromWal) {
        if (mapped.kind !== 'object') throw new Error(mapped.kind)
        const object = JSON.parse(mapped.json) as Record<keyof typeof columns, string | null>
        expect(Object.keys(object)).toEqual(['id', ...names])
        expect(object.tstz ?? '2024-01-01T00:00:00.000Z').toMatch(/^[+-]?\d{4,6}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/)
        expect(object.day ?? '2024-01-01').toMatch(/^\d{4}-\d\d-\d\d$/)
        expect(mapped.json).not.toContain('\n')
      }
    }),
    { numRuns: 25 },
  )
})

test('the session’s settings make the text the same, whatever the defaults of the database or the role', async () => {
  const texts = `SELECT '2024-01-02 03:04:05.6+00'::timestamptz::text, '["2024-01-02 03:04:05+00",)'::tstzrange::text,
                        '2024-01-02'::date::text, '1 day 2 hours'::interval::text, '\\x00ff'::bytea::text,
                        (1::float8 / 3)::text, ARRAY['\\x00'::bytea]::text`
  const ours = await client.query({ text: texts, rowMode: 'array' })
  expect(ours.rows[0]).toEqual([
    '2024-01-02 03:04:05.6+00',
    '["2024-01-02 03:04:05+00",)',
    '2024-01-02',
    '1 day 02:00:00',
    '\\x00ff',
    '0.3333333333333333',
    '{"\\\\x00"}',
  ])
  const others = await (await database.client()).query({ text: texts, rowMode: 'array' })
  for (const [index, text] of (others.rows[0] as string[]).entries()) {
    expect(text).not.toBe(ours.rows[0]![index])
  }
})
