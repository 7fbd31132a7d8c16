import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encoderFor } from '../../src/mapping/values.js'
import { rawQuery } from './raw.js'
import { openValueDoor, type ValueDoor } from './value-door.js'

let door: ValueDoor

beforeAll(async () => {
  door = await openValueDoor()
})

afterAll(() => door.close())

const instant = fc
  .oneof(
    fc.bigInt({ min: -210_866_803_200_000_000n, max: 8_640_000_000_000_000_000n }),
    fc.bigInt({ min: -3_000_000_000_000_000n, max: 3_000_000_000_000_000n }),
    fc.integer({ min: -5000, max: 5000 }).map(BigInt),
  )
  .map((micros) => micros.toString())

// The oracle reckons from the microseconds since 1970, and so not from the text that is encoded.
const micros = '(extract(epoch FROM v) * 1000000)::bigint'
const iso = (answer: string) => {
  const n = BigInt(answer)
  return new Date(Number((n - (((n % 1000n) + 1000n) % 1000n)) / 1000n)).toISOString()
}
const fromMicros = (kind: string) =>
  `timestamptz '1970-01-01 00:00:00+00'${kind} + (l::bigint * interval '1 microsecond')`

test.each([
  'UTC',
  'Asia/Kolkata',
  'America/St_Johns',
  'Europe/Amsterdam',
  'Pacific/Apia',
  '-03:30',
])('timestamptz is ISO 8601 in UTC with the microseconds cut off, also when the session says %s', async (zone) => {
  await door.client.query(`SET TimeZone = '${zone}'`)
  const encode = encoderFor(1184, door.types)!
  await fc
    .assert(
      fc.asyncProperty(fc.array(instant, { minLength: 1, maxLength: 40 }), async (literals) => {
        const { rows } = await rawQuery(
          door.client,
          `SELECT v, ${micros} FROM (SELECT ${fromMicros('')} AS v FROM unnest($1::text[]) AS l) x`,
          [literals],
        )
        for (const [text, answer] of rows) expect(JSON.parse(encode(text!)), text!).toBe(iso(answer!))
      }),
      { numRuns: 40 },
    )
    .finally(() => door.client.query("SET TimeZone = 'UTC'"))
})

test('timestamp without a zone is taken as UTC', async () => {
  const encode = encoderFor(1114, door.types)!
  await fc.assert(
    fc.asyncProperty(fc.array(instant, { minLength: 1, maxLength: 40 }), async (literals) => {
      const { rows } = await rawQuery(
        door.client,
        `SELECT v, ${micros} FROM (SELECT (${fromMicros('')}) AT TIME ZONE 'UTC' AS v FROM unnest($1::text[]) AS l) x`,
        [literals],
      )
      for (const [text, answer] of rows) expect(JSON.parse(encode(text!)), text!).toBe(iso(answer!))
    }),
    { numRuns: 60 },
  )
})

test('the ends of the calendar', async () => {
  const cases = {
    '2024-02-29 12:34:56.789999+02': '2024-02-29T10:34:56.789Z',
    '1969-12-31 23:59:59.9999+00': '1969-12-31T23:59:59.999Z',
    '9999-12-31 23:59:59.9+00': '9999-12-31T23:59:59.900Z',
    '12024-01-01 00:00:00+00': '+012024-01-01T00:00:00.000Z',
    '294276-12-31 23:59:59.999999+00': '+294276-12-31T23:59:59.999Z',
    '0099-01-01 00:00:00+00': '0099-01-01T00:00:00.000Z',
    '0001-01-01 00:00:00+00 BC': '0000-01-01T00:00:00.000Z',
    '0044-03-15 12:00:00.12+00 BC': '-000043-03-15T12:00:00.120Z',
    '4713-01-01 00:00:00+00 BC': '-004712-01-01T00:00:00.000Z',
    infinity: 'infinity',
    '-infinity': '-infinity',
  }
  for (const [literal, expected] of Object.entries(cases)) {
    expect(await door.one('timestamptz', literal)).toBe(expected)
    expect(await door.one('timestamp', literal.replace('+02', '').replace('12:34', '10:34'))).toBe(expected)
  }
  await door.client.query("SET TimeZone = 'Asia/Kolkata'")
  expect(await door.one('timestamptz', '294276-12-31 23:59:59.999999+05:30')).toBe('+294276-12-31T18:29:59.999Z')
  await door.client.query("SET TimeZone = 'UTC'")
})
