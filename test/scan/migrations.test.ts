import { expect, test } from 'vitest'
import type { WalkPosition } from '../../src/capture/scan.js'
import { TableWalk, type WalkedChunk } from '../../src/pipeline/scan/table-walk.js'
import { cellsOfChunk } from './chunks.js'
import { type ScanRig, scanRig } from './rig.js'

const rigOf = (key: string) =>
  scanRig({
    sql: `CREATE TABLE products (id ${key} PRIMARY KEY, title text);
      INSERT INTO products SELECT i, 't' || i FROM generate_series(1, 1000) AS i`,
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })

const keysOf = (chunk: WalkedChunk) => Array.from({ length: chunk.rows }, (_, row) => chunk.keyOf(row))

/** Walks some rows, runs the SQL, walks the rest. Returns the ids after it. */
async function walkOver(rig: ScanRig, sql: string) {
  const options = { db: rig.databases.source, sources: rig.sources, source: 'public.products' }
  const walk = new TableWalk({ ...options, limits: { rows: 100, size: 1e6 } })
  const before = keysOf((await walk.next())!)
  await rig.db.query(sql)
  const after: unknown[] = []
  let restarted = false
  for (let chunk = await walk.next(); chunk !== null; chunk = await walk.next()) {
    if (chunk.restarted) {
      restarted = true
      after.length = 0
    }
    after.push(...keysOf(chunk).map((key) => key.id ?? key.number))
  }
  return { before: before.length, after: after.length, distinct: new Set(after).size, restarted }
}

test('columns come and go', async () => {
  const rig = await rigOf('integer')
  const sql = `ALTER TABLE products ADD COLUMN more text DEFAULT 'x'; ALTER TABLE products ALTER COLUMN title TYPE varchar(50)`
  expect(await walkOver(rig, sql)).toEqual({ before: 100, after: 900, distinct: 900, restarted: false })
})

test('the table is renamed', async () => {
  const rig = await rigOf('integer')
  const seen = await walkOver(rig, 'ALTER TABLE products RENAME TO goods')
  expect(seen).toEqual({ before: 100, after: 900, distinct: 900, restarted: false })
})

test('the key is renamed', async () => {
  const rig = await rigOf('integer')
  const seen = await walkOver(rig, 'ALTER TABLE products RENAME COLUMN id TO number')
  expect(seen).toEqual({ before: 100, after: 900, distinct: 900, restarted: false })
})

test.each([
  ['another type with another order', 'integer', 'ALTER TABLE products ALTER COLUMN id TYPE text'],
  [
    'a type that the position is no value of',
    'integer',
    `ALTER TABLE products ALTER COLUMN id TYPE uuid USING md5(id::text)::uuid`,
  ],
  ['another collation', 'text COLLATE "C"', 'ALTER TABLE products ALTER COLUMN id TYPE text COLLATE "de-x-icu"'],
])('the key gets %s: the walk begins anew', async (_, key, sql) => {
  const rig = await rigOf(key)
  expect(await walkOver(rig, sql)).toEqual({ before: 100, after: 1_000, distinct: 1_000, restarted: true })
})

test('the table is dropped and made anew', async () => {
  const rig = await rigOf('integer')
  const sql = `DROP TABLE products; CREATE TABLE products (id integer PRIMARY KEY, title text);
    INSERT INTO products SELECT i, 't' FROM generate_series(1, 50) AS i`
  expect(await walkOver(rig, sql)).toEqual({ before: 100, after: 50, distinct: 50, restarted: true })
})

test('a mapped column is dropped: the walk fails clearly, and goes on when it is back', async () => {
  const rig = await rigOf('integer')
  const options = { db: rig.databases.source, sources: rig.sources, source: 'public.products' }
  const walk = new TableWalk({ ...options, limits: { rows: 100, size: 1e6 } })
  const seen: unknown[] = []
  const take = async () => {
    const chunk = await walk.next()
    if (chunk !== null) seen.push(...keysOf(chunk).map(({ id }) => id))
    return chunk
  }
  await take()
  await rig.db.query('ALTER TABLE products DROP COLUMN title')
  // What was read ahead, before the column went, may come first.
  await expect(take().then(take)).rejects.toMatchObject({ code: 'MAPPING_UNFIT' })
  await rig.db.query('ALTER TABLE products ADD COLUMN title text')
  await rig.sources.refresh()
  while ((await take()) !== null);
  expect(seen).toEqual(Array.from({ length: 1_000 }, (_, at) => String(at + 1)))
})

test('a scan survives a migration in its middle', async () => {
  const rig = await rigOf('integer')
  await rig.mark('public.products')
  const scanner = rig.start({ limits: { rows: 50, size: 1e6 }, maxWaitingKeys: 100 })
  while ((await rig.waiting()).length < 100) await new Promise((resolve) => setTimeout(resolve, 5))
  await rig.db.query(
    `ALTER TABLE products ALTER COLUMN id TYPE bigint; ALTER TABLE products RENAME COLUMN id TO number`,
  )
  await rig.take()
  const numbers = new Set<string>()
  for (let going = true; going; ) {
    going = (await rig.runs()).length > 0
    for (const { id, number } of await rig.take()) numbers.add(number ?? id ?? '')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await scanner.stop()
  // The key was made anew, and so the walk began anew.
  expect(numbers.size).toBe(1_000)
})

test('chunks are bounded by what they weigh, and large rows come all the same', async () => {
  const rig = await scanRig({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text);
      INSERT INTO products SELECT i, CASE WHEN i % 500 > 460 THEN repeat(md5(i::text), 32768) ELSE 'small' END
        FROM generate_series(1, 1000) AS i`,
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  const { bound } = rig.sources.get('public.products')!
  const limits = { rows: 1_000, size: 8 * 1024 * 1024 }
  const seen: unknown[] = []
  let after: WalkPosition | null = null
  for (let last = false; !last; ) {
    const chunk = await cellsOfChunk(rig.databases.source, bound, { after, limits })
    const weight = chunk.cells.flat().reduce((sum, cell) => sum + (cell?.length ?? 0), 0)
    expect(weight).toBeLessThanOrEqual(limits.size + 1024 * 1024 + 20_000)
    for (const [id, title] of chunk.cells) {
      expect(title?.length).toBe(Number(id) % 500 > 460 ? 1024 * 1024 : 5)
      seen.push(id)
    }
    after = chunk.position
    last = chunk.last
  }
  expect(seen).toEqual(Array.from({ length: 1_000 }, (_, at) => String(at + 1)))
})

test('memory stays bounded while a table of large rows is scanned', async () => {
  const rig = await scanRig({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text);
      INSERT INTO products SELECT i, repeat(md5(i::text), 32768) FROM generate_series(1, 300) AS i`,
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  })
  const walk = new TableWalk({ db: rig.databases.source, sources: rig.sources, source: 'public.products' })
  const before = process.memoryUsage.rss()
  let most = 0
  let rows = 0
  for (let chunk = await walk.next(); chunk !== null; chunk = await walk.next()) {
    rows += chunk.rows
    most = Math.max(most, process.memoryUsage.rss() - before)
  }
  expect(rows).toBe(300)
  expect(most).toBeLessThan(200 * 1024 * 1024)
})
