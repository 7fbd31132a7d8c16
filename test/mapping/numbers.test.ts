import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encoderFor } from '../../src/mapping/values.js'
import { float, int, numeric } from './literals.js'
import { rawQuery } from './raw.js'
import { asPostgresSays, openValueDoor, type ValueDoor } from './value-door.js'

let door: ValueDoor

beforeAll(async () => {
  door = await openValueDoor()
})

afterAll(() => door.close())

test.each([
  ['int2', int(16n)],
  ['int4', int(32n)],
])('%s is the number that it is', async (type, literal) => {
  await door.always(type, literal, asPostgresSays)
})

test('int8 is a number as long as a double holds it, and a string past that', async () => {
  const near = fc.bigInt({ min: -3n, max: 3n }).chain((n) => fc.constantFrom(n, 2n ** 53n + n, -(2n ** 53n) + n))
  await door.always('int8', fc.oneof(int(64n), near.map(String)), ({ text, value }) => {
    const exact = BigInt(text) <= 2n ** 53n - 1n && BigInt(text) >= -(2n ** 53n) + 1n
    expect(value).toBe(exact ? Number(text) : text)
  })
  expect(await door.one('int8', '9007199254740991')).toBe(9007199254740991)
  expect(await door.one('int8', '9007199254740992')).toBe('9007199254740992')
  expect(await door.one('int8', '-9223372036854775808')).toBe('-9223372036854775808')
})

test('float8 and float4 are numbers that read back the same; NaN and infinities are strings', async () => {
  await door.always('float8', float, asPostgresSays)
  const float4 = fc.float().map((n) => (Object.is(n, -0) ? '-0' : String(n)))
  await door.always('float4', float4, asPostgresSays)
  for (const literal of ['NaN', 'Infinity', '-Infinity']) {
    expect(await door.one('float8', literal)).toBe(literal)
    expect(await door.one('float4', literal)).toBe(literal)
  }
  expect(await door.one('float4', '0.1')).toBe(0.1)
})

test('numeric is a number exactly where a double reads back the same, else its digits as a string', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(numeric, { minLength: 1, maxLength: 40 }), async (literals) => {
      const results = await door.sent('numeric', literals)
      const { rows } = await rawQuery(
        door.client,
        `SELECT s::numeric = v::numeric, abs(v::numeric) BETWEEN 1e-290 AND 1e290 OR v::numeric = 0,
                  CASE WHEN abs(v::numeric) BETWEEN 1e-290 AND 1e290 THEN v::numeric::float8::text END
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (s, v, n) ORDER BY n`,
        [results.map(({ value }) => String(value)), results.map(({ text }) => text)],
      )
      for (const [index, [same, ordinary, double]] of rows.entries()) {
        const { text, value } = results[index]!
        expect(same, text).toBe('t')
        const significant = text.replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length
        if (ordinary === 't' && significant <= 15 && text.length < 290) expect(typeof value, text).toBe('number')
        if (significant > 17) expect(typeof value, text).toBe('string')
        if (typeof value === 'number' && double !== null) expect(value, text).toBe(Number(double))
      }
    }),
    { numRuns: 60 },
  )
})

test('numerics of equal value are sent as equal text, whatever the scale of the column', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(numeric, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 9 }),
      async (literals, more) => {
        const { rows } = await rawQuery(
          door.client,
          'SELECT v, round(v, scale(v) + $2) FROM (SELECT l::numeric AS v FROM unnest($1::text[]) AS l) x',
          [literals, more],
        )
        const encode = encoderFor(1700, door.types)!
        for (const [narrow, wide] of rows) expect(encode(wide!)).toBe(encode(narrow!))
      },
    ),
    { numRuns: 40 },
  )
  expect(
    (await door.sent('numeric', ['12.50', '12.00', '0.00', '-0.0', '100', '1e20', 'NaN', '-Infinity'])).map(
      (r) => r.json,
    ),
  ).toEqual(['12.5', '12', '0', '0', '100', '100000000000000000000', '"NaN"', '"-Infinity"'])
  expect(await door.one('numeric', '1234567890.123456789012')).toBe('1234567890.123456789012')
  expect(await door.one('numeric', '1e400')).toBe(`1${'0'.repeat(400)}`)
  expect(await door.one('numeric', '1e-400')).toBe(`0.${'0'.repeat(399)}1`)
})
