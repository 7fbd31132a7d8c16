import { describe, expect, test } from 'vitest'
import { type CaptureRig, captureForTest } from './rig.js'
import { expected, sorted, type TruthTable, watch } from './truth.js'

const sql = `
  CREATE TABLE sellers (id integer PRIMARY KEY, name text, visits integer NOT NULL DEFAULT 0);
  CREATE TABLE products (
    id bigint PRIMARY KEY, title text, price numeric(10, 2), seller_id integer DEFAULT 1 REFERENCES sellers
      ON DELETE CASCADE ON UPDATE CASCADE, views integer NOT NULL DEFAULT 0);
  CREATE TABLE reviews (product_id bigint REFERENCES products ON DELETE SET NULL, shop uuid, n integer, body text, note text,
    PRIMARY KEY (shop, n));
  CREATE TABLE codes (id integer PRIMARY KEY, code text NOT NULL UNIQUE, label text, uses integer DEFAULT 0);
  CREATE TABLE staging (id integer, title text)`
const tables = {
  'public.sellers': { namespace: 'sellers', fields: { name: true } },
  'public.products': {
    namespace: 'products',
    fields: { title: true, price: true, seller_id: true },
    onDelete: 'tombstone',
  },
  'public.reviews': { namespace: 'reviews', fields: { body: true, product_id: true } },
  'public.codes': { namespace: 'codes', fields: { label: true }, id: 'code', onDelete: 'tombstone' },
}
const truth: readonly TruthTable[] = [
  { table: 'public.sellers', key: ['id'], columns: ['name'] },
  { table: 'public.products', key: ['id'], columns: ['title', 'price', 'seller_id'], tombstone: true },
  { table: 'public.reviews', key: ['shop', 'n'], columns: ['body', 'product_id'] },
  { table: 'public.codes', key: ['id', 'code'], columns: ['label'], tombstone: true },
]
const shop = '6f0d2f4e-7a57-4c6b-9c44-0d3d0c4b7c10'

async function watched(): Promise<CaptureRig> {
  const rig = await captureForTest({ sql, tables })
  await rig.db.query(`INSERT INTO sellers VALUES (1, 'a'), (2, 'b'), (3, 'c');
    INSERT INTO products SELECT n, 'title ' || n, n, 1 + n % 3 FROM generate_series(1, 30) AS n;
    INSERT INTO reviews SELECT n, '${shop}', n, 'fine', 'x' FROM generate_series(1, 10) AS n;
    INSERT INTO codes VALUES (1, 'A', 'first'), (2, 'B', 'second');
    INSERT INTO staging SELECT n, 'staged' FROM generate_series(100, 109) AS n;
    TRUNCATE safetykit.dirty`)
  await watch(rig.db, truth)
  return rig
}

const writes: readonly (readonly [name: string, sql: string, captures: number])[] = [
  ['an insert', "INSERT INTO products VALUES (40, 'new')", 1],
  ['an insert of several rows', "INSERT INTO products VALUES (40, 'x'), (41, 'y'), (42, NULL)", 3],
  ['an insert of a query', 'INSERT INTO products (id, title) SELECT id, title FROM staging', 10],
  ['an insert of nothing', 'INSERT INTO products (id, title) SELECT id, title FROM staging WHERE false', 0],
  ['a conflict that does nothing', "INSERT INTO products VALUES (1, 'x'), (40, 'y') ON CONFLICT DO NOTHING", 1],
  [
    'a conflict that updates',
    `INSERT INTO products VALUES (1, 'x'), (2, 'title 2'), (40, 'y')
     ON CONFLICT (id) DO UPDATE SET title = excluded.title`,
    2,
  ],
  [
    'a conflict that updates an unmapped column',
    "INSERT INTO products VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET views = 5",
    0,
  ],
  ['a copy', `COPY products (id, title) FROM PROGRAM 'printf "50,a\\n51,b\\n"' WITH (FORMAT csv)`, 2],
  ['an update of a mapped column', "UPDATE products SET title = 'other' WHERE id = 1", 1],
  ['an update of all rows', 'UPDATE products SET price = price + 1', 30],
  ['an update of an unmapped column', 'UPDATE products SET views = views + 1', 0],
  ['an update of both', 'UPDATE products SET views = views + 1, price = 7 WHERE id IN (7, 8)', 1],
  ['an update to the same value', 'UPDATE products SET title = title, price = price', 0],
  ['an update to null and back', 'UPDATE products SET title = NULL WHERE id = 1', 1],
  ['a changed key', 'UPDATE products SET id = 99 WHERE id = 19', 2],
  ['changed keys of many', 'UPDATE products SET id = id + 1000 WHERE id > 10', 40],
  ['a changed key of two columns', 'UPDATE reviews SET n = n + 100 WHERE n = 3', 1],
  ['a changed id column', "UPDATE codes SET code = 'Z' WHERE id = 1", 2],
  ['exchanged keys', 'UPDATE products SET id = CASE id WHEN 11 THEN -12 ELSE -11 END WHERE id IN (11, 12)', 4],
  [
    'a merge',
    `MERGE INTO products AS p USING (VALUES (1, 'merged'), (2, 'gone'), (60, 'made')) AS s (id, title) ON p.id = s.id
     WHEN MATCHED AND s.title = 'gone' THEN DELETE
     WHEN MATCHED THEN UPDATE SET title = s.title
     WHEN NOT MATCHED THEN INSERT (id, title) VALUES (s.id, s.title)`,
    4,
  ],
  [
    'writes in a WITH',
    `WITH gone AS (DELETE FROM staging RETURNING id), made AS (INSERT INTO products (id, title) SELECT id, 'w' FROM gone
     RETURNING id), changed AS (UPDATE products SET title = 'w' WHERE id < 4 RETURNING id)
     UPDATE sellers SET name = 'w' WHERE id = (SELECT count(*) FROM made) - 9`,
    14,
  ],
  ['a delete', 'DELETE FROM products WHERE id = 15', 1],
  ['a delete where nothing is sent', 'DELETE FROM reviews', 0],
  ['a delete that cascades', 'DELETE FROM sellers WHERE id = 2', 14],
  ['an update that cascades', 'UPDATE sellers SET id = 20 WHERE id = 2', 11],
  ['a delete that sets null', 'DELETE FROM products WHERE id = 3', 2],
  [
    'writes of a function',
    `DO $$ BEGIN
       FOR i IN 1..3 LOOP UPDATE products SET title = 'f' || i WHERE id = i; END LOOP;
       INSERT INTO products VALUES (70, 'f');
       BEGIN INSERT INTO products VALUES (71, 'f'); UPDATE products SET id = 70 WHERE id = 71;
       EXCEPTION WHEN unique_violation THEN INSERT INTO products VALUES (72, 'g'); END;
     END $$`,
    5,
  ],
  [
    'a transaction',
    "BEGIN; INSERT INTO products VALUES (80, 'a'); UPDATE products SET title = 'b' WHERE id = 80; COMMIT",
    2,
  ],
  ['a transaction that is rolled back', "BEGIN; UPDATE products SET title = 'b'; DELETE FROM sellers; ROLLBACK", 0],
  [
    'a savepoint that is rolled back',
    `BEGIN; INSERT INTO products VALUES (80, 'a'); SAVEPOINT s; INSERT INTO products VALUES (81, 'b');
     ROLLBACK TO s; INSERT INTO products VALUES (82, 'c'); COMMIT`,
    2,
  ],
  [
    'a statement that fails',
    "DO $$ BEGIN INSERT INTO products VALUES (90, 'a'), (1, 'b'); EXCEPTION WHEN OTHERS THEN NULL; END $$",
    0,
  ],
]

describe('exactly what has changed is captured', () => {
  test.each(writes)('%s', async (_, write, captures) => {
    const rig = await watched()
    await rig.db.query(write)
    const captured = await rig.captured()
    expect(sorted(captured)).toEqual(sorted(await expected(rig.db, truth)))
    expect(captured.length).toBe(captures)
    expect(captured.filter(({ key }) => key === null)).toEqual([])
  })

  test('replaying a log of another server, with session_replication_role = replica', async () => {
    const rig = await watched()
    const captured = await rig.during(() =>
      rig.db.query(`BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO products VALUES (40, 'x');
        UPDATE products SET title = 'y' WHERE id = 1; DELETE FROM products WHERE id = 2; COMMIT`),
    )
    expect(captured.map(({ key }) => key?.id)).toEqual(['40', '1', '2'])
  })
})

describe('writers without rights', () => {
  test('a role that may only write the table writes unharmed, and is captured', async () => {
    const rig = await watched()
    const role = `writer_${rig.db.name}`
    await rig.db.query(`CREATE ROLE ${role}; REVOKE ALL ON SCHEMA safetykit FROM PUBLIC;
      GRANT INSERT, UPDATE, DELETE, SELECT ON products TO ${role}`)
    try {
      const captured = await rig.during(() =>
        rig.db.query(`BEGIN; SET LOCAL ROLE ${role}; INSERT INTO products VALUES (40, 'x', 1, NULL);
          UPDATE products SET title = 'y' WHERE id = 1; DELETE FROM products WHERE id = 3; COMMIT`),
      )
      expect(sorted(captured)).toEqual(sorted(await expected(rig.db, truth)))
      await expect(rig.db.query(`SET ROLE ${role}; SELECT * FROM safetykit.dirty`)).rejects.toMatchObject({
        code: '42501',
      })
    } finally {
      await rig.db.query(`RESET ROLE; DROP OWNED BY ${role}; DROP ROLE ${role}`)
    }
  })

  test('row-level security of the table does not matter', async () => {
    const rig = await watched()
    const role = `tenant_${rig.db.name}`
    await rig.db.query(`CREATE ROLE ${role}; GRANT ALL ON products TO ${role};
      ALTER TABLE products ENABLE ROW LEVEL SECURITY; ALTER TABLE products FORCE ROW LEVEL SECURITY;
      CREATE POLICY mine ON products USING (id >= 10) WITH CHECK (id >= 10)`)
    try {
      const captured = await rig.during(() =>
        rig.db.query(`BEGIN; SET LOCAL ROLE ${role}; INSERT INTO products VALUES (40, 'x', 1, NULL);
          UPDATE products SET title = 'y'; COMMIT`),
      )
      expect(captured.length).toBe(1 + 22)
      expect(sorted(captured)).toEqual(sorted(await expected(rig.db, truth)))
    } finally {
      await rig.db.query(`RESET ROLE; DROP OWNED BY ${role}; DROP ROLE ${role}`)
    }
  })
})

test('a transaction that only captures takes no further transaction ids', async () => {
  const rig = await watched()
  const client = await rig.db.client()
  await client.query('BEGIN')
  await client.query("INSERT INTO products VALUES (40, 'x')")
  const first = await client.query('SELECT pg_current_xact_id()::text AS id')
  for (let id = 1; id <= 20; id += 1) await client.query(`UPDATE products SET title = 'other' WHERE id = ${id}`)
  await client.query('COMMIT')
  const { rows } = await rig.db.query(
    'SELECT count(DISTINCT xmin::text)::int AS xids, min(xmin::text) AS xid FROM safetykit.dirty',
  )
  expect(rows).toEqual([{ xids: 1, xid: first.rows[0].id }])
})
