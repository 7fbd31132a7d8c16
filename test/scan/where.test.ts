import { expect, test } from 'vitest'
import { TableWalk } from '../../src/pipeline/scan/table-walk.js'
import { type ScanRig, scanRig } from './rig.js'

const rigOf = () =>
  scanRig({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text, price numeric);
      INSERT INTO products SELECT i, 't' || i, i FROM generate_series(1, 1000) AS i; CREATE TABLE prey (id integer)`,
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })

async function ids(rig: ScanRig, where: string): Promise<readonly number[]> {
  const options = { db: rig.databases.source, sources: rig.sources, source: 'public.products', where }
  const walk = new TableWalk({ ...options, limits: { rows: 64, size: 1e6 } })
  const found: number[] = []
  try {
    for (let chunk = await walk.next(); chunk !== null; chunk = await walk.next()) {
      for (let row = 0; row < chunk.rows; row += 1) found.push(Number(chunk.keyOf(row).id))
    }
  } finally {
    await walk.close()
  }
  return found
}

test.each([
  ['a column that is not mapped', 'price % 100 = 0', 10],
  ['the alias of the table', `t.title LIKE 't99%'`, 11],
  ['an OR, which stays in its parentheses', 'id = 1 OR id = 1000', 2],
  ['a subquery', 'EXISTS (SELECT FROM prey) OR id < 4', 3],
  ['a comment at its end', 'id < 10 -- the first', 9],
  ['nothing', 'false', 0],
])('a walk with a condition sees the rows for which it holds: %s', async (_, where, count) => {
  const rig = await rigOf()
  const found = await ids(rig, where)
  expect(found).toHaveLength(count)
  expect(found).toEqual([...found].sort((a, b) => a - b))
})

test.each([
  ['does not parse', 'price >', /syntax error/],
  ['names an unknown column', 'prise > 1', /column "prise" does not exist/],
  ['is not true or false', 'price', /boolean/],
  ['is two statements', 'true); DROP TABLE prey; SELECT (1', /syntax error|multiple commands/],
  ['is two conditions', 'true) OR (true', /syntax error/],
  ['orders the rows', 'true ORDER BY price', /syntax error/],
  ['closes the COPY', 'true)) TO STDOUT; DROP TABLE prey; --', /syntax error|multiple commands/],
])('a condition that %s is refused with the words of Postgres', async (_, where, words) => {
  const rig = await rigOf()
  await expect(ids(rig, where)).rejects.toMatchObject({
    code: 'ARGUMENT_INVALID',
    message: expect.stringMatching(words),
  })
  expect((await rig.db.query(`SELECT to_regclass('prey')::text AS prey`)).rows).toEqual([{ prey: 'prey' }])
  // The connection is as good as before.
  expect(await ids(rig, 'id = 7')).toEqual([7])
})

test.each([
  ['a division by zero', '1 / (price - 500)::integer > 0', '22012'],
  ['a value that cannot be cast', 'title::integer > 0', '22P02'],
])('a condition that fails on a row tells so without the row’s values: %s', async (_, where, code) => {
  const rig = await rigOf()
  const error = await ids(rig, where).catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'ARGUMENT_INVALID', message: expect.stringContaining(code) })
  expect(String(error)).not.toMatch(/t\d+/)
})

test('a condition cannot write', async () => {
  const rig = await rigOf()
  await rig.db.query(
    `CREATE FUNCTION hunt() RETURNS boolean LANGUAGE sql AS 'INSERT INTO prey VALUES (1) RETURNING true'`,
  )
  await expect(ids(rig, 'hunt()')).rejects.toThrow(/read-only/)
  expect((await rig.db.query('SELECT FROM prey')).rowCount).toBe(0)
})
