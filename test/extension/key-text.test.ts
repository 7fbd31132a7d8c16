import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Prisma } from '../../prisma/generated/client/client.js'
import { isCanonical, keyText } from '../../src/extension/key-text.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'

let db: TestDatabase
beforeAll(async () => {
  db = await createDatabase()
})
afterAll(() => db.drop())

/** As Postgres writes it; `undefined` where it is no value of the type. */
async function written(text: string, type: string): Promise<string | undefined> {
  const types = { getTypeParser: () => (value: string) => value }
  const read = { text: `SELECT $1::text::${type} AS value`, values: [text], types }
  return db.pool.query(read).then(
    ({ rows }) => rows[0]?.value as string,
    () => undefined,
  )
}

const integers = fc.oneof(
  fc.bigInt(-(2n ** 64n), 2n ** 64n).map(String),
  fc.stringMatching(/^ ?[+-]?0{0,2}\d{1,20} ?$/),
)
const uuids = fc.oneof(
  fc.uuid(),
  fc.uuid().map((text) => text.toUpperCase()),
  fc.uuid().map((text) => `{${text}}`),
)

describe('a text is only taken as Postgres would write it', () => {
  test.each([
    ['integer', integers],
    ['bigint', integers],
    ['smallint', integers],
    ['uuid', uuids],
    ['text', fc.string().filter((text) => !text.includes('\0'))],
  ] satisfies [string, fc.Arbitrary<string>][])('of the type %s', async (type, texts) => {
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        if (!isCanonical(text, type)) return
        // A number out of range is no value, and so the id of no row.
        expect([text, undefined]).toContain(await written(text, type))
      }),
    )
  })
})

test.each([
  [new Date('2026-01-02T03:04:05.600Z'), 'timestamp(3) without time zone', '2026-01-02 03:04:05.6'],
  [new Date('2026-01-02T03:04:05.600Z'), 'date', '2026-01-02'],
  [new Prisma.Decimal('1e21'), 'numeric', '1000000000000000000000'],
  [new Prisma.Decimal('1.5'), 'numeric(12,2)', '1.50'],
  [Uint8Array.of(0, 255), 'bytea', '\\x00ff'],
  [true, 'boolean', 't'],
  [0.1, 'double precision', '0.1'],
  [12345678901234567890n, 'numeric', '12345678901234567890'],
])('Postgres reads a value of Prisma as it is: %s as %s', async (value, type, text) => {
  expect(await written(keyText(value) ?? '', type)).toBe(text)
})

test.each([undefined, null, Symbol('x'), {}, [], new Date(Number.NaN), () => 1])('%s is no key', (value) => {
  expect(keyText(value)).toBeUndefined()
})
