import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RowKey } from '../../src/capture/change.js'
import { readRows } from '../../src/capture/rows.js'
import { type BoundTable, bindMappings } from '../../src/mapping/bind.js'
import { readCatalog } from '../../src/mapping/catalog.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { mappingOf } from './mapping-of.js'
import { settledClient } from './raw.js'

let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  database = await createDatabase({
    sql: `
      CREATE SCHEMA "Odd Schema"; CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;
      CREATE TYPE mood AS ENUM ('sad', 'so "so"', 'NULL');
      CREATE TYPE "Odd Schema"."Odd Type" AS ENUM ('a', 'b');
      CREATE DOMAIN code AS text CHECK (VALUE <> 'x');
      CREATE DOMAIN inner_code AS code;
      CREATE TABLE big (id int PRIMARY KEY, body text);
      INSERT INTO big SELECT n, 'body ' || n FROM generate_series(1, 50000) n;
      CREATE TABLE big_pair (a int, b text, body text, PRIMARY KEY (b, a));
      INSERT INTO big_pair SELECT n, 'b' || n % 7, 'body ' || n FROM generate_series(1, 50000) n;
      CREATE TABLE big_email (email ext.citext PRIMARY KEY, body text);
      INSERT INTO big_email SELECT 'User' || n || '@Example.com', 'body ' || n FROM generate_series(1, 50000) n;`,
  })
  client = await settledClient(database)
})

afterAll(() => database.drop())

async function bound(table: string, fields: readonly string[]): Promise<BoundTable> {
  const mapping = mappingOf({ table, fields })
  const catalog = await readCatalog(client, [mapping.table], { defaultSchema: 'public' })
  return bindMappings([mapping], catalog, { capture: 'trigger' })[0]!
}

async function read(table: BoundTable, keys: readonly RowKey[]) {
  return (await readRows(client, table.rowTable, table.readColumns, keys)).rows
}

test('rows come back aligned with their keys, with null for those that are gone', async () => {
  const table = await bound('big', ['body'])
  expect(await read(table, [{ id: '3' }, { id: '99999999' }, { id: '1' }, { id: '3' }])).toEqual([
    ['3', 'body 3'],
    null,
    ['1', 'body 1'],
    ['3', 'body 3'],
  ])
  expect(await read(table, [])).toEqual([])
})

test('composite keys find their own rows only', async () => {
  const table = await bound('big_pair', ['body'])
  const keys = [
    { a: '8', b: 'b1' },
    { a: '8', b: 'b2' },
    { a: '9', b: 'b2' },
  ]
  expect(await read(table, keys)).toEqual([['b1', '8', 'body 8'], null, ['b2', '9', 'body 9']])
})

test.each<[string, readonly string[]]>([
  ['int8', ['9223372036854775807', '-1']],
  ['numeric', ['1.50', '12345678901234567890.5']],
  ['bool', ['t', 'f']],
  ['uuid', ['9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d']],
  ['char(5)', ['ab   ', 'abcde']],
  ['varchar(3)', ['abc', '']],
  ['"char"', ['x']],
  ['text', ['', 'NULL', '{a,"b"}', 'a\\b', "it's", '\n', 'é😀']],
  ['inet', ['10.0.0.0/8', '192.168.0.1']],
  ['mood', ['so "so"', 'NULL']],
  ['"Odd Schema"."Odd Type"', ['a', 'b']],
  ['ext.citext', ['Mixed', 'other']],
  ['timestamptz', ['2024-01-02 03:04:05.123456+00', '0044-03-15 00:00:00+00 BC', 'infinity']],
  ['date', ['2024-02-29', '12024-01-01']],
  ['interval', ['1 year 2 mons 3 days 04:05:06.789']],
  ['bytea', ['\\x00ff27', '\\x']],
  ['bit(3)', ['101']],
  ['inner_code', ['a', 'b"']],
  ['int4[]', ['{1,2,NULL}', '{}', '{{1,2},{3,4}}']],
  ['int4range', ['[1,5)', 'empty']],
  ['jsonb', ['{"a": [1, "x"]}']],
])('a primary key of type %s finds its row by the text that Postgres writes for it', async (type, keys) => {
  await client.query('DROP TABLE IF EXISTS keyed')
  await client.query(`CREATE TABLE keyed ("The ""Key""" ${type} PRIMARY KEY, n text)`)
  await client.query(`INSERT INTO keyed SELECT k::${type}, n FROM unnest($1::text[]) WITH ORDINALITY AS u (k, n)`, [
    keys,
  ])
  const table = await bound('keyed', ['n'])
  expect(
    await read(
      table,
      keys.map((key) => ({ 'The "Key"': key })),
    ),
  ).toEqual(keys.map((key, i) => [key, String(i + 1)]))
})

test('names that need quotes, and partitions', async () => {
  await client.query(`
    CREATE TABLE "Odd Schema"."a.b ""c""" (day date, "select" int, "Body" text, PRIMARY KEY (day, "select"))
      PARTITION BY RANGE (day);
    CREATE TABLE "Odd Schema".part PARTITION OF "Odd Schema"."a.b ""c""" DEFAULT;
    INSERT INTO "Odd Schema"."a.b ""c""" VALUES ('2024-01-01', 7, 'x')`)
  const mapping = { ...mappingOf({ table: 't', fields: ['Body'] }), table: { schema: 'Odd Schema', name: 'a.b "c"' } }
  const catalog = await readCatalog(client, [mapping.table], { defaultSchema: 'public' })
  const [table] = bindMappings([mapping], catalog, { capture: 'replication' })
  expect(await read(table!, [{ day: '2024-01-01', select: '7' }])).toEqual([['2024-01-01', '7', 'x']])
})

test('a key that is none of the table’s is told apart from a row that is gone, and harms no other key', async () => {
  const table = await bound('big', ['body'])
  const keys = [
    { id: '1' },
    { id: 'was text once' },
    { other: '1' },
    { id: '0' },
    { id: '2', slug: 'more' },
    { id: '' },
  ]
  expect(await read(table, keys)).toEqual([['1', 'body 1'], undefined, undefined, null, ['2', 'body 2'], undefined])
})

test('the answer says the columns as they are now, even where no key could be read', async () => {
  const table = await bound('big_email', ['body'])
  const { rows: types } = await client.query<{ email: number; text: number }>(
    "SELECT 'ext.citext'::regtype::oid::int AS email, 'text'::regtype::oid::int AS text",
  )
  const columns = [
    { name: 'email', typeOid: types[0]!.email },
    { name: 'body', typeOid: types[0]!.text },
  ]
  expect(await readRows(client, table.rowTable, table.readColumns, [{ nothing: '1' }])).toEqual({
    columns,
    rows: [undefined],
  })
  expect((await readRows(client, table.rowTable, table.readColumns, [{ email: 'a' }])).columns).toEqual(columns)
})

test.each([
  ['big', [{ id: '5' }]],
  ['big_pair', [{ a: '8', b: 'b1' }]],
  // Its operator is in a schema that is not in search_path, where `=` alone would be text's.
  ['big_email', [{ email: 'user7@example.com' }]],
])('%s is read through its primary key’s index, with or without statistics', async (name, keys) => {
  const table = await bound(name, ['body'])
  for (const prepare of ['SELECT 1', `ANALYZE ${name}`]) {
    await client.query(prepare)
    const many = Array.from({ length: 2000 }, (_, i) => keys[i % keys.length]!)
    const before = await scans(name)
    expect((await read(table, many))[0]).toBeTruthy()
    const after = await scans(name)
    expect({ sequential: after.seq - before.seq, rows: after.rows - before.rows }).toEqual({ sequential: 0, rows: 0 })
    expect(after.index).toBeGreaterThan(before.index)
  }
})

async function scans(table: string): Promise<{ seq: number; rows: number; index: number }> {
  await client.query('SELECT pg_stat_force_next_flush()')
  await client.query('SELECT pg_stat_clear_snapshot()')
  const { rows } = await client.query<{ seq: number; rows: number; index: number }>(
    `SELECT seq_scan::int AS seq, seq_tup_read::int AS rows, idx_scan::int AS index FROM pg_stat_user_tables WHERE relname = $1`,
    [table],
  )
  return rows[0]!
}
