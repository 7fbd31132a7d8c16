import { expect, test } from 'vitest'
import { rigForTest } from '../support/pipeline.js'
import { expectComplete } from './complete.js'

const dead = (id: string) => ({ id, deleted: true })

test('rows of a partitioned table arrive as rows of the table, whatever partition they are in', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE events (region text, id integer, note text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
      CREATE TABLE events_eu PARTITION OF events FOR VALUES IN ('eu');
      CREATE TABLE events_rest PARTITION OF events DEFAULT PARTITION BY RANGE (id);
      CREATE TABLE events_rest_low PARTITION OF events_rest FOR VALUES FROM (0) TO (100);
      CREATE TABLE events_rest_high PARTITION OF events_rest DEFAULT`,
    tables: { 'public.events': { namespace: 'events', fields: { note: true }, onDelete: 'tombstone' } },
  })
  await rig.db.query(`INSERT INTO events VALUES ('eu', 1, 'a'), ('us', 1, 'b'), ('us', 100, 'c');
    INSERT INTO events_eu VALUES ('eu', 2, 'd')`)
  await rig.caughtUp()
  expect(rig.sent('events')).toEqual({
    'eu:1': { id: 'eu:1', note: 'a' },
    'us:1': { id: 'us:1', note: 'b' },
    'us:100': { id: 'us:100', note: 'c' },
    'eu:2': { id: 'eu:2', note: 'd' },
  })

  await rig.db.query(`UPDATE events SET region = 'us', note = 'moved' WHERE id = 2;
    UPDATE events_rest_low SET note = 'changed' WHERE id = 1; DELETE FROM events WHERE id = 100`)
  await rig.caughtUp()
  expect(rig.sent('events')).toMatchObject({
    'eu:2': dead('eu:2'),
    'us:2': { note: 'moved' },
    'us:1': { note: 'changed' },
    'us:100': dead('us:100'),
  })
  await rig.db.query(`CREATE TABLE events_asia PARTITION OF events FOR VALUES IN ('asia');
    INSERT INTO events VALUES ('asia', 1, 'new partition')`)
  await rig.caughtUp()
  expect(rig.sent('events')).toMatchObject({ 'asia:1': { note: 'new partition' } })
  expect(await rig.side('objects', "source <> 'public.events'")).toEqual([])
  await expectComplete(rig)
})

test('a row that moves between partitions and keeps its id is not a deleted one', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE events (id integer, day integer, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
      CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
      CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (20);
      ALTER TABLE events_1 REPLICA IDENTITY FULL; ALTER TABLE events_2 REPLICA IDENTITY FULL`,
    tables: { 'public.events': { namespace: 'events', id: 'id', fields: { note: true }, onDelete: 'tombstone' } },
  })
  await rig.db.query("INSERT INTO events VALUES (1, 5, 'a'), (2, 5, 'b')")
  await rig.caughtUp()
  await rig.db.query("UPDATE events SET day = 15; UPDATE events SET note = 'c' WHERE id = 2")
  await rig.caughtUp()
  expect(rig.sent('events')).toEqual({ 1: { id: '1', note: 'a' }, 2: { id: '2', note: 'c' } })
  await rig.db.query('DELETE FROM events WHERE id = 1')
  await rig.caughtUp()
  expect(rig.sent('events')).toMatchObject({ 1: dead('1') })
})

test('tables of one name in several schemas, quoted and mixed-case names, and names with anything in them', async () => {
  const rig = await rigForTest({
    sql: `CREATE SCHEMA "Shop"; CREATE SCHEMA other;
      CREATE TABLE "Shop"."Product" ("Id" integer PRIMARY KEY, "theTitle" text, title text);
      CREATE TABLE other.product (id integer PRIMARY KEY, title text);
      CREATE TABLE product (id integer PRIMARY KEY, title text);
      CREATE TABLE other."a.b C/d" ("k.1" integer PRIMARY KEY, "x""y'z" text)`,
    tables: {
      'Shop.Product': { namespace: 'shop', fields: { theTitle: true } },
      'other.product': { namespace: 'other', fields: { title: true } },
      'public.product': { namespace: 'public', fields: { title: { as: 'der Titel "1"' } } },
      'other.a.b C/d': { namespace: 'odd', fields: { 'x"y\'z': true } },
    },
  })
  await rig.db.query(`INSERT INTO "Shop"."Product" VALUES (1, 'mixed', 'not mapped');
    INSERT INTO other.product VALUES (1, 'other'); INSERT INTO product VALUES (1, 'public');
    INSERT INTO other."a.b C/d" VALUES (1, 'odd')`)
  await rig.caughtUp()
  expect(rig.sent('shop')).toEqual({ 1: { id: '1', theTitle: 'mixed' } })
  expect(rig.sent('other')).toEqual({ 1: { id: '1', title: 'other' } })
  expect(rig.sent('public')).toEqual({ 1: { id: '1', 'der Titel "1"': 'public' } })
  expect(rig.sent('odd')).toEqual({ 1: { id: '1', 'x"y\'z': 'odd' } })
  // The same rows by their keys: every name is quoted there as well.
  const versions = rig.emulator.stats.acceptedObjects
  await rig.db.query(`INSERT INTO safetykit.dirty (source, key, force) VALUES ('Shop.Product', '{"Id": "1"}', true),
    ('other.product', '{"id": "1"}', true), ('public.product', '{"id": "1"}', true), ('other.a.b C/d', '{"k.1": "1"}', true)`)
  await expect.poll(() => rig.side('dirty'), { timeout: 60_000 }).toEqual([])
  expect(rig.emulator.stats.acceptedObjects).toBe(versions + 4)
  expect(rig.sent('odd')).toEqual({ 1: { id: '1', 'x"y\'z': 'odd' } })
  await expectComplete(rig)
})

test('an id is the whole key in its order, or the columns and the prefix that the mapping says', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE lines (b integer, a text, note text, slug text NOT NULL, PRIMARY KEY (a, b))`,
    tables: {
      'public.lines': [
        { namespace: 'by-key', fields: { note: true } },
        { namespace: 'by-slug', id: 'slug', fields: { note: true } },
        { namespace: 'joined', id: { fields: ['slug', 'b'], join: '/', prefix: 'line-' }, fields: { note: true } },
      ],
    },
  })
  await rig.db.query(`INSERT INTO lines VALUES (7, 'x:y', 'n', 'sl"ug')`)
  await rig.caughtUp()
  expect(Object.keys(rig.sent('by-key'))).toEqual(['x:y:7'])
  expect(Object.keys(rig.sent('by-slug'))).toEqual(['sl"ug'])
  expect(Object.keys(rig.sent('joined'))).toEqual(['line-sl"ug/7'])
  await expectComplete(rig)
})

test('a table goes into two namespaces with different fields; a change of one field costs the other nothing', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text, body text)`,
    tables: {
      'public.products': [
        { namespace: 'titles', fields: { title: true } },
        { namespace: 'bodies', fields: { body: true }, onDelete: 'tombstone' },
      ],
    },
  })
  await rig.db.query("INSERT INTO products VALUES (1, 't', 'b'); UPDATE products SET title = 't2'")
  await rig.caughtUp()
  await rig.db.query("UPDATE products SET body = 'b2'")
  await rig.caughtUp()
  await rig.db.query('DELETE FROM products')
  await rig.caughtUp()
  expect(rig.sent('titles')).toEqual({ 1: { id: '1', title: 't2' } })
  expect(rig.emulator.history('bodies', '1').map(({ data }) => data)).toEqual([
    { id: '1', body: 'b' },
    { id: '1', body: 'b2' },
    dead('1'),
  ])
  const rows = await rig.side<{ namespace: string; request_id: string }>('objects')
  expect(new Set(rows.map((row) => row.request_id)).size).toBe(2)
  await expectComplete(rig)
})

test('two tables share a namespace by their prefixes', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE users (id integer PRIMARY KEY, name text); CREATE TABLE shops (id integer PRIMARY KEY, name text)`,
    tables: {
      'public.users': { namespace: 'sellers', id: { prefix: 'user-' }, fields: { name: true }, onDelete: 'tombstone' },
      'public.shops': { namespace: 'sellers', id: { prefix: 'shop-' }, fields: { name: true }, onDelete: 'tombstone' },
    },
  })
  await rig.db.query("INSERT INTO users VALUES (1, 'u'); INSERT INTO shops VALUES (1, 's')")
  await rig.caughtUp()
  await rig.db.query('DELETE FROM users')
  await rig.caughtUp()
  expect(rig.sent('sellers')).toEqual({ 'user-1': dead('user-1'), 'shop-1': { id: 'shop-1', name: 's' } })
  const sources = (await rig.side<{ source: string }>('objects')).map(({ source }) => source)
  expect(sources.sort()).toEqual(['public.shops', 'public.users'])
  await expectComplete(rig)
})

test('rows that `where` refuses are not sent; one that it refuses later is ignored, or becomes a tombstone', async () => {
  const where = (row: Record<string, unknown>) => row.status !== 'draft'
  const rig = await rigForTest({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text, status text)`,
    tables: {
      'public.products': [
        { namespace: 'kept', fields: { title: true, status: true }, where },
        { namespace: 'buried', fields: { title: true, status: true }, where, onDelete: 'tombstone' },
      ],
    },
  })
  await rig.db.query("INSERT INTO products VALUES (1, 'a', 'draft'), (2, 'b', 'live')")
  await rig.caughtUp()
  expect(rig.sent('kept')).toEqual({ 2: { id: '2', title: 'b', status: 'live' } })
  expect(rig.sent('buried')).toEqual({ 2: { id: '2', title: 'b', status: 'live' } })

  await rig.db.query(
    "UPDATE products SET status = 'live' WHERE id = 1; UPDATE products SET status = 'draft' WHERE id = 2",
  )
  await rig.caughtUp()
  expect(rig.sent('kept')).toEqual({
    1: { id: '1', title: 'a', status: 'live' },
    2: { id: '2', title: 'b', status: 'live' },
  })
  expect(rig.sent('buried')).toEqual({ 1: { id: '1', title: 'a', status: 'live' }, 2: dead('2') })

  await rig.db.query("UPDATE products SET title = 'still a draft' WHERE id = 2; DELETE FROM products WHERE id = 2")
  await rig.db.query("INSERT INTO products VALUES (2, 'b', 'live')")
  await rig.caughtUp()
  expect(rig.emulator.history('buried', '2').map(({ data }) => data)).toEqual([
    { id: '2', title: 'b', status: 'live' },
    dead('2'),
    { id: '2', title: 'b', status: 'live' },
  ])
  expect(rig.versions('kept', '2')).toBe(1)
  await expectComplete(rig)
})

test('computed fields are sent beside the columns, and seen under the names of the mapping', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE products (id bigint PRIMARY KEY, price numeric, tags text[])`,
    tables: {
      'public.products': {
        namespace: 'products',
        fields: { price: { as: 'cost' }, tags: true },
        computed: {
          headline: { value: (row: Record<string, unknown>) => `for ${row.price}`, display_hint: { type: 'title' } },
          count: { value: (row: { tags?: unknown[] }) => row.tags?.length ?? null },
          left_out: { value: () => undefined },
        },
      },
    },
  })
  await rig.db.query("INSERT INTO products VALUES (1, 12.50, '{a,b}'), (2, NULL, NULL)")
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({
    1: { id: '1', cost: 12.5, tags: ['a', 'b'], headline: 'for 12.5', count: 2 },
    2: { id: '2', cost: null, tags: null, headline: 'for null', count: null },
  })
})

test('tables and columns that are not mapped cost no request', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text, views integer DEFAULT 0);
      CREATE TABLE logs (id integer PRIMARY KEY, line text)`,
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  await rig.db.query("INSERT INTO products SELECT i, 'a' FROM generate_series(1, 50) AS i")
  await rig.caughtUp()
  const { calls } = rig.emulator.stats
  await rig.db.query(`INSERT INTO logs SELECT i, 'a' FROM generate_series(1, 50) AS i; UPDATE products SET views = 1;
    UPDATE products SET views = 2, title = 'a'`)
  await rig.caughtUp()
  expect(rig.emulator.stats.calls).toEqual(calls)
  expect(rig.pipeline.counts.unchanged).toBeGreaterThanOrEqual(50)
})

test('generated columns that are mapped are sent, stored and virtual ones', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, net integer,
        gross integer GENERATED ALWAYS AS (net * 2) STORED)`,
    tables: {
      'public.products': { namespace: 'products', fields: { net: true, gross: true }, onDelete: 'tombstone' },
    },
  })
  const { rows } = await rig.db.query("SELECT current_setting('server_version_num')::int >= 180000 AS virtual")
  const twice = rows[0]?.virtual === true ? 'twice' : 'gross'
  if (twice === 'twice') {
    await rig.db.query('ALTER TABLE products ADD COLUMN twice integer GENERATED ALWAYS AS (net * 2) VIRTUAL')
    await rig.stop()
    await rig.start({
      tables: {
        'public.products': {
          namespace: 'products',
          fields: { net: true, gross: true, twice: true },
          onDelete: 'tombstone',
        },
      },
    })
  }
  await rig.db.query(
    'INSERT INTO products (id, net) VALUES (1, 10), (2, 20); UPDATE products SET net = 11 WHERE id = 1',
  )
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({
    1: { id: '1', net: 11, gross: 22, [twice]: 22 },
    2: { id: '2', net: 20, gross: 40, [twice]: 40 },
  })
  await rig.db.query('DELETE FROM products WHERE id = 1; UPDATE products SET id = 3')
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({
    1: dead('1'),
    2: dead('2'),
    3: { id: '3', net: 20, gross: 40, [twice]: 40 },
  })
  await expectComplete(rig)
})
