import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Catalog, readCatalog } from '../../src/mapping/catalog.js'
import { encoderFor } from '../../src/mapping/values.js'
import { createDatabase, installedVersions, ownServer, type TestDatabase } from '../support/postgres.js'
import { serverDatabase } from './server-database.js'

const setup = `
  CREATE SCHEMA shop; CREATE SCHEMA "My Shop";
  CREATE TYPE mood AS ENUM ('sad', 'ok');
  CREATE DOMAIN tags AS text[]; CREATE DOMAIN label AS text NOT NULL;
  CREATE TABLE products (id int PRIMARY KEY, gone int, title text NOT NULL, mood mood, tags tags, label label,
                         twice int GENERATED ALWAYS AS (id * 2) STORED);
  ALTER TABLE products DROP COLUMN gone;
  CREATE TABLE shop.products ("sellerId" uuid, "SKU" text, price numeric, PRIMARY KEY ("SKU", "sellerId"));
  CREATE TABLE "My Shop"."Order ""Items""" ("Order Id" bigint, note text, PRIMARY KEY ("Order Id") INCLUDE (note));
  CREATE TABLE nokey (a int);
  CREATE UNLOGGED TABLE fast (id int PRIMARY KEY);
  CREATE VIEW cheap AS SELECT * FROM products;
  CREATE MATERIALIZED VIEW dear AS SELECT * FROM products;
  CREATE TABLE full_one (id int PRIMARY KEY, a text, twice int GENERATED ALWAYS AS (id * 2) STORED);
  ALTER TABLE full_one REPLICA IDENTITY FULL;
  CREATE TABLE nothing_one (id int PRIMARY KEY); ALTER TABLE nothing_one REPLICA IDENTITY NOTHING;
  CREATE TABLE index_one (id int PRIMARY KEY, slug text NOT NULL UNIQUE);
  ALTER TABLE index_one REPLICA IDENTITY USING INDEX index_one_slug_key;
  CREATE TABLE index_gone (id int PRIMARY KEY, slug text NOT NULL UNIQUE);
  ALTER TABLE index_gone REPLICA IDENTITY USING INDEX index_gone_slug_key;
  ALTER TABLE index_gone DROP CONSTRAINT index_gone_slug_key;
  CREATE TABLE late_key (id int PRIMARY KEY DEFERRABLE, a text);
  CREATE TABLE events (day date, id int, body text, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
  CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (id);
  CREATE TABLE events_2024_1 PARTITION OF events_2024 FOR VALUES IN (1);
  CREATE TABLE shop.events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
  ALTER TABLE shop.events_2025 REPLICA IDENTITY FULL;`

const wanted = [
  { schema: null, name: 'products' },
  { schema: 'shop', name: 'products' },
  { schema: 'My Shop', name: 'Order "Items"' },
  ...[
    'nokey',
    'fast',
    'cheap',
    'dear',
    'full_one',
    'nothing_one',
    'index_one',
    'index_gone',
    'late_key',
    'events',
    'events_2024_1',
    'absent',
  ].map((name) => ({ schema: null, name })),
]

const keyOf = (catalog: Catalog, schema: string | null, name: string) =>
  catalog.find(schema, name)!.primaryKey.map((column) => column.name)

describe.each(installedVersions())('the catalogue of PostgreSQL %i', (version) => {
  let pool: pg.Pool
  let close: () => Promise<unknown>
  let catalog: Catalog

  beforeAll(async () => {
    const database: Pick<TestDatabase, 'pool' | 'drop'> =
      version === 18 ? await createDatabase() : serverDatabase(await ownServer({ version }))
    pool = database.pool
    close = () => database.drop()
    await pool.query(setup)
    catalog = await readCatalog(pool, wanted, { defaultSchema: 'public' })
  })

  afterAll(() => close())

  test('has the live columns in the table’s order, with domains’ NOT NULL and generated columns', () => {
    const { columns } = catalog.find('public', 'products')!
    expect(columns.map(({ name, notNull, generated }) => [name, notNull, generated])).toEqual([
      ['id', true, 'no'],
      ['title', true, 'no'],
      ['mood', false, 'no'],
      ['tags', false, 'no'],
      ['label', true, 'no'],
      ['twice', false, 'stored'],
    ])
    const encode = (column: string, text: string) =>
      encoderFor(columns.find(({ name }) => name === column)!.typeOid, catalog.types)!(text)
    expect([encode('mood', 'ok'), encode('tags', '{a,NULL}'), encode('label', 'x')]).toEqual([
      '"ok"',
      '["a",null]',
      '"x"',
    ])
  })

  test('tells tables of one name apart by schema, and spells names as they are', () => {
    expect(keyOf(catalog, null, 'products')).toEqual(['id'])
    expect(keyOf(catalog, 'shop', 'products')).toEqual(['SKU', 'sellerId'])
    expect(keyOf(catalog, 'My Shop', 'Order "Items"')).toEqual(['Order Id'])
    // What a key only includes is not part of it, nor of the replica identity.
    expect(catalog.find('My Shop', 'Order "Items"')!.identityColumns).toEqual(['Order Id'])
    expect(catalog.find(null, 'absent')).toBeUndefined()
    expect(catalog.find('shop', 'nokey')).toBeUndefined()
    expect(catalog.known).toContainEqual({ schema: 'My Shop', name: 'Order "Items"' })
  })

  test('looks in the default schema for a table without one', async () => {
    const ofShop = await readCatalog(pool, [{ schema: null, name: 'products' }], { defaultSchema: 'shop' })
    expect(ofShop.tables.map((table) => table.schema)).toEqual(['shop'])
    expect(ofShop.find(null, 'products')!.columns.map((column) => column.name)).toEqual(['sellerId', 'SKU', 'price'])
  })

  test('knows what is no table, what has no key, and what is not in the WAL', () => {
    const kinds = ['products', 'cheap', 'dear', 'events'].map((name) => catalog.find(null, name)!.kind)
    expect(kinds).toEqual(['table', 'view', 'materialized view', 'partitioned table'])
    expect(keyOf(catalog, null, 'nokey')).toEqual([])
    expect(catalog.find(null, 'fast')!.persistence).toBe('unlogged')
    expect(catalog.find(null, 'products')!.persistence).toBe('permanent')
  })

  test('knows which columns an old row carries', () => {
    const identity = (name: string) => {
      const { replicaIdentity, identityColumns } = catalog.find(null, name)!
      return [replicaIdentity, ...identityColumns]
    }
    expect(identity('products')).toEqual(['default', 'id'])
    expect(identity('full_one')).toEqual(['full', 'id', 'a'])
    expect(identity('nothing_one')).toEqual(['nothing'])
    expect(identity('index_one')).toEqual(['index', 'slug'])
    expect(identity('index_gone')).toEqual(['index'])
    expect(identity('late_key')).toEqual(['default'])
    expect(identity('nokey')).toEqual(['default'])
  })

  test('has the leaf partitions of a partitioned table with their own replica identity', () => {
    const { partitions, isPartition } = catalog.find(null, 'events')!
    expect(
      partitions.map(({ schema, name, replicaIdentity, identityColumns }) => [
        schema,
        name,
        replicaIdentity,
        identityColumns,
      ]),
    ).toEqual([
      ['public', 'events_2024_1', 'default', ['day', 'id']],
      ['shop', 'events_2025', 'full', ['day', 'id', 'body']],
    ])
    expect(isPartition).toBe(false)
    expect(catalog.find(null, 'events_2024_1')!.isPartition).toBe(true)
    expect(catalog.find(null, 'products')!.partitions).toEqual([])
  })
})

test('the virtual generated columns of PostgreSQL 18 are known as such', async ({ skip }) => {
  const database = await createDatabase()
  const { rows } = await database.query<{ old: boolean }>(
    "SELECT current_setting('server_version_num')::int < 180000 AS old",
  )
  if (rows[0]!.old) {
    await database.drop()
    skip('this server is older')
  }
  await database.query('CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL)')
  const catalog = await readCatalog(database.pool, [{ schema: null, name: 't' }], { defaultSchema: 'public' })
  expect(catalog.find(null, 't')!.columns.map((column) => column.generated)).toEqual(['no', 'virtual'])
  await database.drop()
})

test('the catalogue takes two queries, whatever the number of tables', async () => {
  const database = await createDatabase()
  const names = Array.from({ length: 60 }, (_, i) => `t${i}`)
  await database.query(names.map((name) => `CREATE TABLE ${name} (id int PRIMARY KEY)`).join(';'))
  let queries = 0
  const counting = {
    query: (config: { text: string; values?: unknown[] }) => {
      queries++
      return database.pool.query(config)
    },
  }
  const catalog = await readCatalog(
    counting,
    names.map((name) => ({ schema: null, name })),
    { defaultSchema: 'public' },
  )
  expect(catalog.tables).toHaveLength(60)
  expect(queries).toBe(2)
  await database.drop()
})
