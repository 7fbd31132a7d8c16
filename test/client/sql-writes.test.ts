import { describe, expect, it } from 'vitest'
import { certainlyReads, sqlCalls, sqlWrites } from '../../src/capture/client/sql-writes.js'

const tables = (sql: string): unknown => {
  const writes = sqlWrites(sql)
  return writes === 'unknown'
    ? writes
    : writes.map(({ schema, table, change }) => `${schema ?? ''}.${table} ${change.kind}`)
}

describe('what SQL writes, told from its text', () => {
  it.each([
    `SELECT 1`,
    `select * from "Product" where title = 'INSERT INTO x'`,
    `SELECT set_config('app.user', $1, true)`,
    `SELECT * FROM "Product" FOR UPDATE`,
    `SELECT * FROM "Product" FOR NO KEY UPDATE OF "Product"`,
    `-- DELETE FROM "Product"\nSELECT 1`,
    `/* a /* nested */ DELETE FROM "Product" */ SELECT 1`,
    `SELECT $$ DELETE FROM "Product"; $$, $tag$ UPDATE x SET y $tag$`,
    `SELECT E'it\\'s; DELETE FROM x'`,
    `SELECT "delete from x", update, "insert" FROM t`,
    `WITH x AS (SELECT 1) SELECT * FROM x`,
    `EXPLAIN SELECT 1`,
    `SET LOCAL app.user = '1'`,
    `VACUUM "Product"`,
    `CREATE INDEX CONCURRENTLY i ON "Product" (title)`,
    `COPY (SELECT 1) TO '/tmp/x'`,
    `COPY "Product" TO '/tmp/x'`,
    `LISTEN update`,
    `CREATE TEMP TABLE t (id int)`,
    `CREATE TABLE IF NOT EXISTS t AS SELECT 1`,
    `SELECT count(update) FROM t`,
    ``,
    `;;`,
  ])('reads: %s', (sql) => expect(tables(sql)).toEqual([]))

  it.each([
    [`INSERT INTO "Product" (id) VALUES ($1)`, ['.Product insert']],
    [`insert into Product default values`, ['.product insert']],
    [`INSERT INTO "public"."Product" SELECT * FROM staging`, ['public.Product insert']],
    [
      `INSERT INTO trust.reports VALUES (1) ON CONFLICT (id) DO UPDATE SET reason = 'x'`,
      ['trust.reports insert', 'trust.reports update'],
    ],
    [`INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING`, ['.t insert']],
    [`UPDATE ONLY "Product" AS p SET title = $1 FROM x WHERE p.id = x.id`, ['.Product update']],
    [`update"Product"set title='x'`, ['.Product update']],
    [`/* hint */ DELETE FROM only public."Product" p USING x`, ['public.Product delete']],
    [
      `WITH gone AS (DELETE FROM a RETURNING *), kept AS MATERIALIZED (UPDATE b SET x = 1 RETURNING *) INSERT INTO c SELECT * FROM gone`,
      ['.a delete', '.b update', '.c insert'],
    ],
    [`WITH x AS (SELECT 1) UPDATE t SET a = 1`, ['.t update']],
    [`WITH x AS (SELECT 1) DELETE FROM t`, ['.t delete']],
    [
      `MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)`,
      ['.t update', '.t delete'],
    ],
    [`TRUNCATE TABLE ONLY a, public.b * RESTART IDENTITY`, ['.a delete', 'public.b delete']],
    [`TRUNCATE a CASCADE`, ['.a truncate']],
    [`COPY "Product" (id) FROM '/tmp/x'`, ['.Product insert']],
    [`SELECT 1; DELETE FROM a; UPDATE b SET c = 1`, ['.a delete', '.b update']],
    [`EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1`, ['.t update']],
    [`EXPLAIN ANALYZE DELETE FROM t`, ['.t delete']],
    [`PREPARE p AS UPDATE t SET a = 1`, ['.t update']],
    [`ALTER TABLE IF EXISTS ONLY t ADD COLUMN c int DEFAULT 1`, ['.t update']],
    [`(WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x)`, ['.t insert']],
    [`INSERT INTO "we""ird" VALUES ('don''t; DELETE FROM x')`, ['.we"ird insert']],
    [`INSERT/**/INTO/**/t VALUES (1)`, ['.t insert']],
    [`INSERT INTO t -- DELETE FROM x\nVALUES (1)`, ['.t insert']],
    [`INSERT INTO db.public.t VALUES (1)`, ['public.t insert']],
  ])('writes: %s', (sql, expected) => expect(tables(sql)).toEqual(expected))

  it.each([
    `CALL refresh()`,
    `DO $$ BEGIN DELETE FROM x; END $$`,
    `EXECUTE p`,
    `IMPORT FOREIGN SCHEMA x`,
    `frobnicate`,
  ])('unknown: %s', (sql) => expect(tables(sql)).toBe('unknown'))

  it('names the columns that an update may change', () => {
    const columns = (sql: string): unknown => {
      const writes = sqlWrites(sql)
      return writes !== 'unknown' && writes.flatMap(({ change }) => (change.kind === 'update' ? change.columns : []))
    }
    expect(columns(`UPDATE t SET a = (SELECT x FROM y), "B" = 2, (c, d) = (1, 2), e[1] = 3 WHERE f = 1`)).toEqual(
      expect.arrayContaining(['a', 'B', 'c', 'd', 'e']),
    )
    expect(columns(`UPDATE t SET a = 1 WHERE id = 1`)).toEqual(['a'])
    expect(columns(`INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2`)).toEqual(['id'])
  })

  it('finds the calls of functions', () => {
    expect(sqlCalls(`SELECT "Rename"(1), x.do_it ( 2 )`, ['Rename'])).toBe(true)
    expect(sqlCalls(`SELECT "Rename"(1), x.do_it ( 2 )`, ['do_it'])).toBe(true)
    expect(sqlCalls(`SELECT rename, 'do_it()' -- do_it()`, ['rename', 'do_it'])).toBe(false)
    expect(sqlCalls(`SELECT Rename(1)`, ['Rename'])).toBe(false)
  })

  it.each([
    [`SELECT set_config('a', $1, true)`, true],
    [`SELECT count(*), max(x) FROM t WHERE id IN (1, 2) AND (a OR b)`, true],
    [`SELECT do_it()`, false],
    [`SELECT "do it" (1)`, false],
    [`UPDATE t SET a = 1`, false],
  ])('is certain, without knowing the functions, that it reads: %s %s', (sql, expected) =>
    expect(certainlyReads(sql)).toBe(expected))
})
