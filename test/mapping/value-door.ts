import fc from 'fast-check'
import type pg from 'pg'
import { expect } from 'vitest'
import { readTypes, type TypeCatalog } from '../../src/mapping/types.js'
import { encoderFor } from '../../src/mapping/values.js'
import { createDatabase } from '../support/postgres.js'
import { rawQuery, settledClient } from './raw.js'

/** One value: its text, what is sent for it, and what Postgres says of it. */
export interface Sent {
  readonly text: string
  readonly json: string
  readonly value: unknown
  readonly answer: string
}

export interface ValueDoor {
  readonly client: pg.Client
  readonly types: TypeCatalog
  /** What a column of this type is sent as, for each literal; beside it Postgres' answer to `oracle`, an SQL expression on `v`. */
  sent(type: string, literals: readonly (string | null)[], oracle?: string): Promise<Sent[]>
  one(type: string, literal: string): Promise<unknown>
  /** Holds for every list of values of a type. */
  always(
    type: string,
    literal: fc.Arbitrary<string | null>,
    check: (sent: Sent) => void,
    oracle?: string,
  ): Promise<void>
  close(): Promise<void>
}

export async function openValueDoor(): Promise<ValueDoor> {
  const database = await createDatabase({
    sql: `
      CREATE EXTENSION citext; CREATE EXTENSION hstore;
      CREATE TYPE mood AS ENUM ('sad', 'ok', 'so, "so"', 'NULL');
      CREATE TYPE pair AS (a int, b text);
      CREATE TYPE span AS RANGE (subtype = float8);
      CREATE DOMAIN price AS numeric(30, 10) CHECK (VALUE > -1e18);
      CREATE DOMAIN list_price AS price;
      CREATE DOMAIN tags AS text[];
      CREATE DOMAIN moment AS timestamptz;`,
  })
  const client = await settledClient(database)
  const types = await readTypes(client)

  const door: ValueDoor = {
    client,
    types,
    async sent(type, literals, oracle = 'to_jsonb(v)') {
      const { rows, types: oids } = await rawQuery(
        client,
        `SELECT v, ${oracle}
           FROM (SELECT l::${type} AS v FROM unnest($1::text[]) WITH ORDINALITY AS u (l, n) ORDER BY n) x`,
        [literals],
      )
      const encode = encoderFor(oids[0]!, types)!
      return rows.map(([text, answer]) => {
        const json = text === null ? 'null' : encode(text!)
        return { text: text!, json, value: JSON.parse(json) as unknown, answer: answer! }
      })
    },
    one: async (type, literal) => (await door.sent(type, [literal]))[0]!.value,
    always: (type, literal, check, oracle) =>
      fc.assert(
        fc.asyncProperty(fc.array(literal, { minLength: 1, maxLength: 40 }), async (literals) => {
          for (const result of await door.sent(type, literals, oracle)) check(result)
        }),
        { numRuns: 40 },
      ),
    close: () => database.drop(),
  }
  return door
}

export function asPostgresSays({ value, answer }: Sent): void {
  expect(value).toEqual(JSON.parse(answer))
}
