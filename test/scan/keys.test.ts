import { describe, expect, test } from 'vitest'
import type { WalkPosition } from '../../src/capture/scan.js'
import { cellsOfChunk } from './chunks.js'
import { scanRig } from './rig.js'

/** Key columns, and an expression for each that makes `i` one of its values. */
const keys: Readonly<Record<string, readonly (readonly [type: string, value: string])[]>> = {
  int: [['integer', '(i * 7919) % 100003 - 50000']],
  bigint: [['bigint', '9007199254740993 + i * 3']],
  uuid: [['uuid', `md5(i::text)::uuid`]],
  text: [['text', `'x' || i`]],
  'text with an ICU collation': [
    [`text COLLATE "de-x-icu"`, `CASE i % 3 WHEN 0 THEN 'Ä' WHEN 1 THEN 'a' ELSE 'z' END || i`],
  ],
  'text without case': [[`text COLLATE nocase`, `CASE i % 2 WHEN 0 THEN 'A' ELSE 'b' END || i`]],
  citext: [['elsewhere.citext', `CASE i % 2 WHEN 0 THEN 'A' ELSE 'b' END || i`]],
  char: [['char(8)', `'c' || i`]],
  name: [['name', `'n' || i`]],
  timestamptz: [
    [
      'timestamptz',
      `CASE WHEN i = 1 THEN 'infinity' WHEN i = 2 THEN '-infinity' WHEN i = 3 THEN '0044-03-15 BC' ELSE now() + i * interval '1 us' END`,
    ],
  ],
  date: [['date', `'2020-01-01'::date + i`]],
  numeric: [['numeric', `CASE WHEN i = 1 THEN 'NaN' WHEN i = 2 THEN '-Infinity' ELSE i * 1.10 END`]],
  float: [['float8', `CASE WHEN i = 1 THEN 'NaN' ELSE i / 3.0 END`]],
  'domain over int': [['positive', 'i']],
  enum: [['mood', `(ARRAY['sad','ok','happy'])[i]::mood`]],
  bytea: [['bytea', `decode(md5(i::text), 'hex')`]],
  interval: [['interval', `i * interval '37 minutes'`]],
  'an array': [['integer[]', 'ARRAY[i % 7, i]']],
  bool: [['boolean', 'i = 1']],
  inet: [['inet', `'10.0.0.0'::inet + i`]],
  composite: [
    ['integer', 'i % 5'],
    ['text', `'t' || i`],
  ],
  'three columns': [
    ['uuid', `md5((i % 3)::text)::uuid`],
    ['date', `'2020-01-01'::date + i % 7`],
    ['bigint', 'i'],
  ],
  'operators of two schemas': [
    ['elsewhere.citext', `'T' || i % 5`],
    ['integer', 'i'],
  ],
  'operators of two schemas, the other way round': [
    ['integer', 'i % 5'],
    ['elsewhere.citext', `'T' || i`],
    ['integer', 'i'],
  ],
}
const few: Readonly<Record<string, number>> = { enum: 3, bool: 2 }

const types = `CREATE SCHEMA elsewhere; CREATE EXTENSION citext SCHEMA elsewhere; CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
  CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
  CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);`

describe('a walk sees each row once, in the order of the key', () => {
  test.each(Object.entries(keys))('%s', async (name, columns) => {
    const rows = few[name] ?? 500
    const rig = await scanRig({
      sql: `${types} CREATE TABLE "Odd Things" (${columns.map(([type], at) => `"k ${at}" ${type}`).join(', ')}, note text,
          PRIMARY KEY (${columns.map((_, at) => `"k ${at}"`).join(', ')}));
        INSERT INTO "Odd Things" SELECT ${columns.map(([, value]) => value).join(', ')}, 'n' || i
          FROM generate_series(1, ${rows}) AS i`,
      tables: { 'public.Odd Things': { namespace: 'things', fields: { note: true } } },
    })
    const { bound } = rig.sources.get('public.Odd Things')!
    const seen: unknown[] = []
    let after: WalkPosition | null = null
    for (let last = false; !last; ) {
      const chunk = await cellsOfChunk(rig.databases.source, bound, {
        after,
        limits: { rows: rows < 10 ? 1 : 64, size: 1_000_000 },
      })
      seen.push(...chunk.cells)
      after = chunk.position
      last = chunk.last
    }
    const order = columns.map((_, at) => `"k ${at}"`).join(', ')
    const all = await rig.databases.source.query({
      text: `SELECT ${order}, note FROM "Odd Things" ORDER BY ${order}`,
      rowMode: 'array',
      types: { getTypeParser: () => (text: string) => text } as never,
    })
    expect(seen).toEqual(all.rows)
    expect(seen).toHaveLength(rows)
  })
})

test('partitions are walked as one table', async () => {
  const rig = await scanRig({
    sql: `CREATE TABLE parts (id integer, region text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
      CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a'); CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
      INSERT INTO parts SELECT i / 2, CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END, 'n' FROM generate_series(1, 5000) AS i`,
    tables: { 'public.parts': { namespace: 'parts', fields: { note: true } } },
  })
  await rig.mark('public.parts')
  await rig.scan()
  expect(await rig.waiting()).toHaveLength(5_000)
  expect(await rig.deliver()).toBe(5_000)
})

test('an empty table is scanned at once', async () => {
  const rig = await scanRig({
    sql: 'CREATE TABLE nothing (id integer PRIMARY KEY, note text)',
    tables: { 'public.nothing': { namespace: 'nothing', fields: { note: true } } },
  })
  await rig.mark('public.nothing')
  await rig.scan()
  expect(await rig.waiting()).toEqual([])
})
