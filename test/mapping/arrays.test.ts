import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encoderFor } from '../../src/mapping/values.js'
import { float, int, numeric, text } from './literals.js'
import { rawQuery } from './raw.js'
import { asPostgresSays, openValueDoor, type ValueDoor } from './value-door.js'

let door: ValueDoor

beforeAll(async () => {
  door = await openValueDoor()
})

afterAll(() => door.close())

type Nested = string | null | Nested[]
const literalOf = (value: Nested, delimiter = ','): string => {
  if (value === null) return 'NULL'
  if (Array.isArray(value)) return `{${value.map((item) => literalOf(item, delimiter)).join(delimiter)}}`
  return `"${value.replace(/["\\]/g, '\\$&')}"`
}
/** Rectangular, as Postgres' arrays are. */
const arrayOf = (element: fc.Arbitrary<string>): fc.Arbitrary<Nested> =>
  fc
    .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 2 }))
    .chain(([a, b, depth]) => {
      const row = (length: number) => fc.array(fc.option(element), { minLength: length, maxLength: length })
      const rows = fc.array(row(b), { minLength: a, maxLength: a })
      if (depth === 0) return fc.array(fc.option(element), { maxLength: 6 })
      return depth === 1 ? rows : fc.array(rows, { minLength: 2, maxLength: 2 })
    })

test.each<[string, fc.Arbitrary<string>]>([
  ['text[]', text],
  ['citext[]', text],
  ['int4[]', int(32n)],
  ['bool[]', fc.constantFrom('t', 'f')],
  ['float8[]', float],
  ['uuid[]', fc.uuid()],
  ['mood[]', fc.constantFrom('sad', 'so, "so"', 'NULL')],
  ['jsonb[]', fc.json({ maxDepth: 2 }).filter((value) => !/\\u0000|\\ud[89a-f]/i.test(value))],
  ['json[]', fc.json({ maxDepth: 2 }).filter((value) => !/\\u0000|\\ud[89a-f]/i.test(value))],
  ['date[]', fc.constantFrom('2024-01-01', 'infinity')],
  ['int4range[]', fc.constantFrom('[1,5)', 'empty')],
])('%s of any shape is the array that Postgres says', async (type, element) => {
  await door.always(
    type,
    arrayOf(element).map((value) => literalOf(value)),
    asPostgresSays,
  )
})

test.each<[string, string, fc.Arbitrary<string>]>([
  ['numeric[]', 'numeric', numeric],
  ['int8[]', 'int8', int(64n)],
  ['bytea[]', 'bytea', fc.uint8Array({ maxLength: 9 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`)],
  ['list_price[]', 'numeric', fc.constantFrom('1.50', '-2', '12345678901234567.1234567891')],
  ['timestamptz[]', 'timestamptz', fc.constantFrom('2024-01-01 00:00:00.5+00', 'infinity', '0044-03-15 00:00:00 BC')],
])('each element of %s is sent as a %s', async (type, elementType, element) => {
  const { types: oids } = await rawQuery(door.client, `SELECT NULL::${elementType}`)
  const encodeElement = encoderFor(oids[0]!, door.types)!
  const flat = arrayOf(element).map((value) => literalOf(value))
  await door.always(
    type,
    flat,
    ({ value, answer }) => {
      const raw = JSON.parse(answer) as (string | null)[]
      const expected = raw.map((one) => (one === null ? null : (JSON.parse(encodeElement(one)) as unknown)))
      expect((value as unknown[]).flat(3)).toEqual(expected)
    },
    'to_jsonb(ARRAY(SELECT e::text FROM unnest(v) WITH ORDINALITY u (e, n) ORDER BY n))',
  )
})

test('lower bounds are left out, boxes are told apart by semicolons, empty arrays are empty', async () => {
  expect(await door.one('int4[]', '[0:1]={7,8}')).toEqual([7, 8])
  expect(await door.one('int4[]', '[-2:-1][5:6]={{1,2},{3,NULL}}')).toEqual([
    [1, 2],
    [3, null],
  ])
  expect(await door.one('box[]', '{(1,1),(0,0);NULL;(3,3),(2,2)}')).toEqual(['(1,1),(0,0)', null, '(3,3),(2,2)'])
  expect(await door.one('text[]', '{}')).toEqual([])
  expect(await door.one('text[]', '{NULL,"NULL",""}')).toEqual([null, 'NULL', ''])
})
