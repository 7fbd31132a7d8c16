import type pg from 'pg'
import { sessionSettingsSql } from '../../src/mapping/session.js'
import type { TestDatabase } from '../support/postgres.js'

export type RawRow = readonly (string | null)[]

/** A connection that is set as the sidecar sets its own. */
export async function settledClient(database: TestDatabase): Promise<pg.Client> {
  const client = await database.client()
  await client.query(sessionSettingsSql)
  return client
}

/** Runs a query and gives the values in Postgres' own text, with the OIDs of the columns' types. */
export async function rawQuery(
  client: pg.Client | pg.Pool,
  text: string,
  values: unknown[] = [],
): Promise<{ rows: RawRow[]; types: number[]; names: string[] }> {
  const result = await client.query<(string | null)[]>({
    text,
    values,
    rowMode: 'array',
    types: { getTypeParser: () => (value: string) => value },
  })
  return {
    rows: result.rows,
    types: result.fields.map((field) => field.dataTypeID),
    names: result.fields.map((field) => field.name),
  }
}
