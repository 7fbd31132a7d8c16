import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Mapping, ResolvedSync } from '../../src/config/resolved.js'
import { ConfigError } from '../../src/errors.js'
import { bindMappings } from '../../src/mapping/bind.js'
import { readCatalog } from '../../src/mapping/catalog.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { type MappingWords, mappingOf } from './mapping-of.js'

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase({
    sql: `
      CREATE SCHEMA shop; CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
      CREATE TABLE "Product" (id int PRIMARY KEY, title text, slug text NOT NULL);
      CREATE TABLE messages (id int PRIMARY KEY, body text, author text, code text NOT NULL);
      CREATE TABLE shop.sellers (id uuid PRIMARY KEY, name text);
      CREATE TABLE keyless (ref text NOT NULL, body text);
      CREATE TABLE keyless_with_id (id int NOT NULL, body text);
      CREATE VIEW cheap AS SELECT * FROM messages;
      CREATE FOREIGN TABLE remote (id int) SERVER files OPTIONS (filename '/dev/null');
      CREATE UNLOGGED TABLE fast (id int PRIMARY KEY, body text);
      CREATE TABLE quiet (id int PRIMARY KEY, body text); ALTER TABLE quiet REPLICA IDENTITY NOTHING;
      CREATE TABLE other_index (id int PRIMARY KEY, code text NOT NULL UNIQUE);
      ALTER TABLE other_index REPLICA IDENTITY USING INDEX other_index_code_key;
      CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE, body text);
      CREATE TABLE computed_key (a int, id int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY);
      CREATE TABLE parts (id int, code text NOT NULL, PRIMARY KEY (id)) PARTITION BY RANGE (id);
      CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
      CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
      ALTER TABLE parts_2 REPLICA IDENTITY FULL;
      CREATE TABLE pairs (a int, b text, body text, PRIMARY KEY (b, a));`,
  })
})

afterAll(() => database.drop())

async function bind(words: readonly MappingWords[], capture: ResolvedSync['capture'] = 'replication') {
  const mappings: Mapping[] = words.map(mappingOf)
  const catalog = await readCatalog(
    database.pool,
    mappings.map((mapping) => mapping.table),
    { defaultSchema: 'public' },
  )
  return bindMappings(mappings, catalog, { capture })
}

async function mistakesOf(words: readonly MappingWords[], capture?: ResolvedSync['capture']): Promise<ConfigError> {
  const error: unknown = await bind(words, capture).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(ConfigError)
  return error as ConfigError
}

test('a bound table has its key, then the id columns, then the mapped ones', async () => {
  const [pairs, product] = await bind([
    { table: 'pairs', fields: ['body', 'a'] },
    { table: 'Product', fields: ['title'], id: { columns: ['slug'] } },
    { table: 'Product', fields: ['id', 'title'], namespace: 'others' },
  ])
  expect(pairs).toMatchObject({ source: 'public.pairs', keyColumns: ['b', 'a'], readColumns: ['b', 'a', 'body'] })
  expect(product).toMatchObject({
    source: 'public.Product',
    keyColumns: ['id', 'slug'],
    readColumns: ['id', 'slug', 'title'],
  })
  expect(product!.mappings).toHaveLength(2)
})

test('all mistakes stand in one report, each with its path and what to do', async () => {
  const error = await mistakesOf([
    { table: 'product', path: 'models.Product', fields: ['title'] },
    { table: 'mesages', path: 'models.Message', fields: ['body'] },
    { table: 'sellers', path: 'models.Seller', fields: ['name'] },
    { table: 'zzzzzzzz', path: 'models.Zzz', fields: ['name'] },
    {
      table: 'messages',
      path: 'models.Post',
      fields: { bodi: { property: 'text' }, Author: {}, nowhere: { property: 'odd name' } },
    },
    { table: 'messages', path: 'models.Note', fields: ['body'], id: { columns: ['author', 'kode'] } },
    { table: 'cheap', path: 'models.Cheap', fields: ['body'] },
    { table: 'remote', path: 'models.Remote', fields: ['id'] },
    { table: 'keyless', path: 'models.Keyless', fields: ['body'], id: { columns: ['ref'] } },
    { table: 'keyless_with_id', path: 'models.WithId', fields: ['body'] },
  ])
  expect(error.code).toBe('CONFIG_INVALID')
  const report = Object.fromEntries(error.mistakes.map(({ path, message, hint }) => [path, `${message} → ${hint}`]))
  expect(report).toEqual({
    'models.Product': 'the table public.product does not exist → did you mean Product? Upper and lower case count',
    'models.Message': 'the table public.mesages does not exist → did you mean messages?',
    'models.Seller':
      'the table public.sellers does not exist → a table of this name exists in another schema: shop.sellers',
    'models.Zzz': expect.stringMatching(/does not exist → the tables of the schema public are: .*messages/),
    'models.Post.fields.text': 'the table public.messages has no column bodi → did you mean body?',
    'models.Post.fields.Author':
      'the table public.messages has no column Author → did you mean author? Upper and lower case count',
    'models.Post.fields["odd name"]':
      'the table public.messages has no column nowhere → its columns are: id, body, author, code',
    'models.Note.id': 'the table public.messages has no column kode → did you mean code?',
    'models.Cheap': expect.stringContaining('public.cheap is a view'),
    'models.Remote': expect.stringContaining('public.remote is a foreign table'),
    'models.Keyless': expect.stringContaining('ALTER TABLE "public"."keyless" ADD PRIMARY KEY ("ref")'),
    'models.WithId': expect.stringContaining('ALTER TABLE "public"."keyless_with_id" ADD PRIMARY KEY ("id")'),
  })
  expect(error.mistakes).toHaveLength(13)
  expect(error.mistakes).toContainEqual({
    path: 'models.Note.id',
    message: 'the id column author can be null, and an object without an id cannot be sent',
    hint: 'ALTER TABLE "public"."messages" ALTER COLUMN "author" SET NOT NULL',
    sql: 'ALTER TABLE "public"."messages" ALTER COLUMN "author" SET NOT NULL',
  })
})

test('an empty database says that the migrations have not run', async () => {
  const empty = await createDatabase()
  const mapping = mappingOf({ table: 'products', fields: ['title'] })
  const catalog = await readCatalog(empty.pool, [mapping.table], { defaultSchema: 'public' })
  expect(() => bindMappings([mapping], catalog, { capture: 'trigger' })).toThrow(/have the migrations run/)
  await empty.drop()
})

/** What replication finds unfit; its hint is run, and then nothing is. */
async function mended(words: MappingWords): Promise<string> {
  const error = await mistakesOf([words])
  expect(error.code).toBe('TABLE_UNFIT')
  expect(error.mistakes).toHaveLength(1)
  expect(await bind([words], 'trigger')).toHaveLength(1)
  await database.query(error.mistakes[0]!.hint!)
  expect(await bind([words])).toHaveLength(1)
  return error.mistakes[0]!.message
}

test('what replication needs of a table is said with the SQL that mends it', async () => {
  expect(await mended({ table: 'fast', fields: ['body'] })).toContain('public.fast is unlogged')
  expect(await mended({ table: 'quiet', fields: ['body'] })).toContain('no usable replica identity')
  expect(await mended({ table: 'deferred', fields: ['body'] })).toContain('no usable replica identity')
  expect(await mended({ table: 'other_index', fields: ['code'] })).toContain('does not hold the primary key')
  expect(
    await mended({ table: 'messages', fields: ['body'], id: { columns: ['code'] }, onDelete: 'tombstone' }),
  ).toContain('does not hold code, which the id of a tombstone needs')
})

test('each partition needs the replica identity, not only the root', async () => {
  const words: MappingWords = { table: 'parts', fields: ['code'], id: { columns: ['code'] }, onDelete: 'tombstone' }
  expect((await mistakesOf([words])).mistakes[0]!.hint).toBe(
    'ALTER TABLE "public"."parts" REPLICA IDENTITY FULL; ALTER TABLE "public"."parts_1" REPLICA IDENTITY FULL',
  )
  expect(await mended(words)).toContain('parts_1')
})

test('an id outside the replica identity is fine where deletes are ignored', async () => {
  expect(await bind([{ table: 'Product', fields: ['title'], id: { columns: ['slug'] } }])).toHaveLength(1)
})

test('a generated primary key is not in the WAL, but fine for triggers', async () => {
  const words = { table: 'computed_key', fields: ['a'] }
  expect((await mistakesOf([words])).message).toContain('id of public.computed_key is generated')
  expect(await bind([words], 'trigger')).toHaveLength(1)
})
