import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cellsOf } from '../../src/capture/copy-text.js'
import type { WalkPosition } from '../../src/capture/scan.js'
import { cellsOfChunk } from './chunks.js'
import { scanRig } from './rig.js'

const texts = [
  '',
  '\\N',
  '\\.',
  'NULL',
  'a\tb',
  'a\nb\r\nc',
  '\\',
  'a\\tb',
  '\\\\',
  '\b\f\v',
  '"quoted, \'so\'"',
  'Zoë — 日本語 🪑',
  '\u2028\u0085',
  'x'.repeat(100_000),
]

test('every text comes as it is in the table, null apart from the empty one', async () => {
  const rig = await scanRig({
    sql: 'CREATE TABLE products (id text, other text NOT NULL, title text, n integer, PRIMARY KEY (id, other))',
    tables: { 'public.products': { namespace: 'products', fields: { title: true, n: true } } },
  })
  const any = fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => text.replaceAll('\0', ''))
  const rows: [string, string, string | null, number | null][] = [
    ...texts.flatMap((text, at): [string, string, string | null, number | null][] => [
      [`${at}`, text.slice(0, 100), text, at],
      [text.slice(0, 100), `row ${at}`, null, null],
    ]),
    ...fc
      .sample(fc.tuple(any, fc.option(any)), 300)
      .map(([key, title], at): [string, string, string | null, null] => [key, `any ${at}`, title, null]),
  ]
  for (const row of rows) await rig.db.query('INSERT INTO products VALUES ($1, $2, $3, $4)', row)
  const { bound } = rig.sources.get('public.products')!
  const seen: unknown[] = []
  let after: WalkPosition | null = null
  // One row at a time, so that every key is a position.
  for (let last = false; !last; ) {
    const chunk = await cellsOfChunk(rig.databases.source, bound, { after, limits: { rows: 1, size: 1e6 } })
    seen.push(...chunk.cells)
    after = chunk.position
    last = chunk.last
  }
  const all = await rig.db.query(`SELECT id, other, title, n::text AS n FROM products ORDER BY id, other`)
  expect(seen).toEqual(all.rows.map(({ id, other, title, n }) => [id, other, title, n]))
  expect(seen).toHaveLength(rows.length)
})

test('a line without a backslash is split at its tabs', () => {
  expect(cellsOf('a\t\tb')).toEqual(['a', '', 'b'])
  expect(cellsOf('')).toEqual([''])
})
