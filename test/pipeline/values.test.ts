import { expect, test } from 'vitest'
import { rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'
import { expectComplete } from './complete.js'

/** A column's type, a literal of it, and what is sent: the table "Values" of the README, a line for each of its types. */
const values: readonly (readonly [type: string, literal: string, sent: unknown])[] = [
  ['int2', '-32768', -32768],
  ['int4', '2147483647', 2147483647],
  ['float4', '1.5', 1.5],
  ['float8', '0.1', 0.1],
  ['float8', '-1e-300', -1e-300],
  ['float8', 'NaN', 'NaN'],
  ['float4', '-Infinity', '-Infinity'],
  ['int8', '9007199254740991', 9007199254740991],
  ['int8', '-9007199254740993', '-9007199254740993'],
  ['numeric', '12.50', 12.5],
  ['numeric(10, 2)', '3', 3],
  ['numeric', '0.1234567890123456789', '0.1234567890123456789'],
  ['numeric', 'NaN', 'NaN'],
  ['bool', 't', true],
  ['timestamptz', '2024-05-06 07:08:09.123987+02', '2024-05-06T05:08:09.123Z'],
  ['timestamp', '2024-05-06 07:08:09', '2024-05-06T07:08:09.000Z'],
  ['timestamptz', 'infinity', 'infinity'],
  ['timestamp', '-infinity', '-infinity'],
  ['date', '2024-02-29', '2024-02-29'],
  ['time', '07:08:09.5', '07:08:09.5'],
  ['timetz', '07:08:09+02', '07:08:09+02'],
  ['interval', '1 year 2 days 03:04:05', '1 year 2 days 03:04:05'],
  ['uuid', '5C60B9F5-3F1B-4E6B-9A57-0D4C1B6E2F10', '5c60b9f5-3f1b-4e6b-9a57-0d4c1b6e2f10'],
  ['inet', '10.0.0.1', '10.0.0.1'],
  ['cidr', '10.0.0.0/8', '10.0.0.0/8'],
  ['macaddr', '08:00:2B:01:02:03', '08:00:2b:01:02:03'],
  ['xml', '<a>"b"</a>', '<a>"b"</a>'],
  ['bit(3)', '101', '101'],
  ['varbit', '10', '10'],
  ['int4range', '[1,5]', '[1,6)'],
  ['int4multirange', '{[1,2],[5,6]}', '{[1,3),[5,7)}'],
  ['point', '(1,2)', '(1,2)'],
  ['tsvector', 'b a', "'a' 'b'"],
  ['char(4)', 'ab', 'ab  '],
  ['varchar(9)', 'ab', 'ab'],
  ['text', 'quotes " \\ / \u2028 and 😀\ttab', 'quotes " \\ / \u2028 and 😀\ttab'],
  ['mood', 'so, "so"', 'so, "so"'],
  ['pair', '(1,"a b")', '(1,"a b")'],
  ['json', '{ "b": [1, 2.50, null],  "a": "x" }', { b: [1, 2.5, null], a: 'x' }],
  ['jsonb', '{"b": 1, "a": {"c": [true]}}', { b: 1, a: { c: [true] } }],
  ['jsonb', 'null', null],
  ['bytea', '\\x00ff10', 'AP8Q'],
  ['int4[]', '{1,NULL,3}', [1, null, 3]],
  [
    'int4[]',
    '{{1,2},{3,4}}',
    [
      [1, 2],
      [3, 4],
    ],
  ],
  ['int4[]', '[0:1]={5,6}', [5, 6]],
  ['text[]', '{a,"b,c","NULL",NULL,""}', ['a', 'b,c', 'NULL', null, '']],
  ['bool[]', '{t,f}', [true, false]],
  ['timestamptz[]', '{2024-05-06 07:08:09+00}', ['2024-05-06T07:08:09.000Z']],
  ['mood[]', '{ok,"so, \\"so\\""}', ['ok', 'so, "so"']],
  ['jsonb[]', '{"{\\"a\\": 1}"}', [{ a: 1 }]],
  ['bytea[]', '{"\\\\x00"}', ['AA==']],
  ['text[]', '{}', []],
  ['price', '3.10', 3.1],
  ['tags', '{x,y}', ['x', 'y']],
]

const name = (index: number): string => `c${String(index).padStart(2, '0')}`
const columns = values.map(([type], index) => `${name(index)} ${type}`)
const fields = Object.fromEntries(values.map((_, index) => [name(index), true]))
const literals = values.map(([, literal]) => literal)
const casts = values.map(([type], index) => `$${index + 1}::${type}`)

test('a row with every kind of value arrives as the table of values says, and is the same row when it is read by its key', async () => {
  const rig = await rigForTest({
    sql: `CREATE TYPE mood AS ENUM ('ok', 'so, "so"'); CREATE TYPE pair AS (a integer, b text);
      CREATE DOMAIN price AS numeric(10, 2); CREATE DOMAIN tags AS text[];
      CREATE TABLE "values" (id integer PRIMARY KEY, ${columns.join(', ')})`,
    tables: { 'public.values': { namespace: 'values', fields } },
  })
  // The database's own settings must not show.
  await rig.db.query(`ALTER DATABASE ${rig.db.name} SET DateStyle = 'German, DMY'`)
  await rig.db.query(`ALTER DATABASE ${rig.db.name} SET TimeZone = 'Asia/Kathmandu'`)
  await rig.db.query(`ALTER DATABASE ${rig.db.name} SET IntervalStyle = 'sql_standard'`)
  await rig.db.query(`ALTER DATABASE ${rig.db.name} SET bytea_output = 'escape'`)
  await rig.db.query(`ALTER DATABASE ${rig.db.name} SET extra_float_digits = 0`)
  await rig.stop()
  await rig.start()
  await rig.db.query(`INSERT INTO "values" VALUES (1, ${casts.join(', ')})`, literals)
  await rig.db.query('INSERT INTO "values" VALUES (2)')
  await rig.caughtUp()
  const sent = rig.sent('values')
  const wanted = Object.fromEntries(values.map(([, , value], index) => [name(index), value]))
  expect(sent[1]).toEqual({ id: '1', ...wanted })
  expect(sent[2]).toEqual({ id: '2', ...Object.fromEntries(values.map((_, index) => [name(index), null])) })

  await rig.db.query(
    `INSERT INTO safetykit.dirty (source, key) VALUES ('public.values', '{"id": "1"}'), ('public.values', '{"id": "2"}')`,
  )
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  expect(rig.versions('values', '1')).toBe(1)
  expect(rig.versions('values', '2')).toBe(1)
  // And read with force: the same content, to the byte.
  await rig.db.query(`INSERT INTO safetykit.dirty (source, key, force) VALUES ('public.values', '{"id": "1"}', true)`)
  await soon(() => expect(rig.versions('values', '1')).toBe(2))
  expect(rig.sent('values')[1]).toEqual(sent[1])
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  await expectComplete(rig)
})

const keys: readonly (readonly [type: string, literal: string])[] = [
  ['bigint', '9007199254740993'],
  ['numeric', '1.50'],
  ['uuid', '5c60b9f5-3f1b-4e6b-9a57-0d4c1b6e2f10'],
  ['timestamptz', '2024-05-06 07:08:09.123456+00'],
  ['text', 'a "quoted", \\ {odd} key: NULL'],
  ['boolean', 't'],
  ['date', '2024-02-29'],
  ['char(4)', 'ab  '],
  ['bytea', '\\x00ff'],
  ['int4[]', '{1,2}'],
  ['mood', 'so, "so"'],
]

test('a primary key of any type: the id is its text, and the row is found again by it', async () => {
  const table = (index: number): string => `keyed_${index}`
  const mapping = (index: number) => ({ namespace: table(index), fields: { note: true }, onDelete: 'tombstone' })
  const rig = await rigForTest({
    sql: `CREATE TYPE mood AS ENUM ('ok', 'so, "so"');
      ${keys.map(([type], index) => `CREATE TABLE ${table(index)} (k ${type} PRIMARY KEY, note text)`).join(';')}`,
    tables: Object.fromEntries(keys.map((_, index) => [`public.${table(index)}`, mapping(index)])),
  })
  for (const [index, [type, literal]] of keys.entries()) {
    await rig.db.query(`INSERT INTO ${table(index)} VALUES ($1::${type}, 'a')`, [literal])
  }
  await rig.caughtUp()
  const sent = () => keys.map((_, index) => rig.sent(table(index)))
  expect(sent()).toEqual(keys.map(([, id]) => ({ [id]: { id, note: 'a' } })))
  for (const [index, [, id]] of keys.entries()) {
    await rig.db.query('INSERT INTO safetykit.dirty (source, key, force) VALUES ($1, $2, true)', [
      `public.${table(index)}`,
      JSON.stringify({ k: id }),
    ])
  }
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  expect(keys.map(([, id], index) => rig.versions(table(index), id))).toEqual(keys.map(() => 2))
  await rig.db.query(keys.map((_, index) => `DELETE FROM ${table(index)}`).join(';'))
  await rig.caughtUp()
  expect(sent()).toEqual(keys.map(([, id]) => ({ [id]: { id, deleted: true } })))
  await expectComplete(rig)
})
