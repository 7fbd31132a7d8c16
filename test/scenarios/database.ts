import { readFileSync } from 'node:fs'
import pg from 'pg'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { mappedTables, otherTables, sources } from './tables.js'
import { forgetSql, marksSql, truthSql } from './truth.js'

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8')
const schemaSql = read('schema.sql')
const seedSql = read('seed.sql')

const tables = [...sources, ...otherTables]
const quoted = (table: string): string => table.split('.').map(pg.escapeIdentifier).join('.')

export interface ScenarioDatabase {
  readonly url: string
  readonly db: TestDatabase
  /** Makes the rows those of seed.sql, with nothing remembered of what was before. */
  reset(): Promise<void>
  /** All rows, as text: to compare two databases by. */
  contents(): Promise<Record<string, string[]>>
  /** Writes as another program does. */
  other(sql: string, params?: readonly unknown[]): Promise<unknown>
  drop(): Promise<void>
}

/** An empty database with the scenarios' tables. */
export async function createScenarioDatabase(): Promise<ScenarioDatabase> {
  const db = await createDatabase({ sql: schemaSql })
  const program = new pg.Client({ connectionString: db.url, application_name: 'another program' })
  await program.connect()
  return {
    url: db.url,
    db,
    async reset() {
      // Without foreign keys and ordinary triggers. It may meet a worker's locks, but never waits for them.
      const empty = tables.map((table) => `DELETE FROM ${quoted(table)};`).join('\n')
      await db.query(`BEGIN; SET LOCAL session_replication_role = replica; ${empty}\n${seedSql}; COMMIT`)
    },
    async contents() {
      const rows = tables.map((table) => `SELECT '${table}' AS "table", t::text AS row FROM ${quoted(table)} AS t`)
      const result = await db.query<{ table: string; row: string }>(`${rows.join(' UNION ALL ')} ORDER BY 1, 2`)
      const byTable: Record<string, string[]> = Object.fromEntries(tables.map((table) => [table, []]))
      for (const { table, row } of result.rows) byTable[table]?.push(row)
      return byTable
    },
    async other(sql, params) {
      const result = await program.query(sql, params === undefined ? undefined : [...params])
      return [result].flat().map(({ rowCount, rows }) => ({ rowCount, rows }))
    },
    async drop() {
      await program.end()
      await db.drop()
    },
  }
}

/** A row's key in a source; `null` is the whole table. */
export interface Marked {
  readonly xid: string
  readonly source: string
  readonly key: string | null
}

export interface Truth {
  /** What happened to the mapped tables, and what was marked for it. */
  read(): Promise<{
    readonly changes: readonly (Marked & { readonly op: 'is' | 'gone' })[]
    readonly marks: readonly Marked[]
  }>
  forget(): Promise<void>
}

/** Has a database keep the truth about what happens in it. The side tables have to be there. */
export async function keepTruth({ db }: ScenarioDatabase): Promise<Truth> {
  await db.query(truthSql)
  await db.query(marksSql)
  return {
    async read() {
      const changes = await db.query<Marked & { op: 'is' | 'gone' }>(
        'SELECT DISTINCT xid::text, source, op, key::text FROM truth.changes',
      )
      const marks = await db.query<Marked>('SELECT DISTINCT xid::text, source, key::text FROM truth.marks')
      return { changes: changes.rows, marks: marks.rows }
    },
    async forget() {
      await db.query(forgetSql)
    },
  }
}

/** Every row of the mapped tables, so that a worker looks at all of them. */
export const markAllSql: string = sources
  .map((source) => {
    const key = mappedTables[source].key.map((name) => `'${name}', t.${pg.escapeIdentifier(name)}::text`).join(', ')
    return `INSERT INTO safetykit.dirty (source, key) SELECT '${source}', jsonb_build_object(${key}) FROM ${quoted(source)} AS t;`
  })
  .join('\n')
