import pg from 'pg'
import type { ScenarioDatabase } from './database.js'
import { type Kind, type MappedTable, mappedTables, sources } from './tables.js'

/** Namespace → id → the object that the row has to be in SafetyKit. */
export type Objects = Readonly<Record<string, Readonly<Record<string, unknown>>>>

/** What SafetyKit has to hold for the rows as they are now, by the test's own reading of them. */
export async function expectedObjects({ db }: ScenarioDatabase): Promise<Objects> {
  const objects: Record<string, Record<string, unknown>> = {}
  const client = await db.pool.connect()
  try {
    await client.query(`SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex'`)
    for (const source of sources) {
      const table: MappedTable = mappedTables[source]
      const columns = [...new Set([...table.key, ...Object.keys(table.columns)])]
      // Not a cast: that of an address to text adds its netmask.
      const text = (column: string): string =>
        `CASE WHEN ${column} IS NOT NULL THEN format('%s', ${column}) END AS ${column}`
      const texts = columns.map((name) => text(pg.escapeIdentifier(name))).join(', ')
      const { rows } = await client.query<Record<string, string | null>>(
        `SELECT ${texts} FROM ${pg.escapeIdentifier(table.schema)}.${pg.escapeIdentifier(table.name)}`,
      )
      for (const [namespace, { sends, id }] of Object.entries(table.namespaces)) {
        objects[namespace] ??= {}
        for (const row of rows) {
          const key = id.map((name) => row[name]).join(':')
          const fields = sends.map((name) => {
            const [as, kind] = table.columns[name] ?? [name, 'text']
            return [as, value(row[name] ?? null, kind)]
          })
          objects[namespace][key] = { id: key, ...Object.fromEntries(fields) }
        }
      }
    }
  } finally {
    client.release(true)
  }
  return objects
}

function value(text: string | null, kind: Kind): unknown {
  if (text === null) return null
  switch (kind) {
    case 'text':
      return text
    case 'number':
      return Number(text)
    case 'exact':
      // 1.50 and 1.5 are the same number; what a number cannot hold for sure stays as it is written.
      return isExact(text) ? Number(text) : text
    case 'bool':
      return text === 't'
    case 'json':
      return JSON.parse(text)
    case 'bytes':
      return Buffer.from(text.slice(2), 'hex').toString('base64')
    case 'instant':
      return new Date(Date.parse(`${text.slice(0, 23).replace(' ', 'T').replace('+00', '')}Z`)).toISOString()
    default:
      return list(text).map((element) => value(element, kind.slice(0, -2) as Kind))
  }
}

function isExact(text: string): boolean {
  const decimals = text.split('.')[1]?.length ?? 0
  return Math.abs(Number(text)) <= Number.MAX_SAFE_INTEGER && Number(text).toFixed(decimals) === text
}

/** Postgres' own parser would want a query for each; these lists hold no nulls and no lists. */
function list(text: string): string[] {
  const elements: string[] = []
  const pattern = /"((?:[^"\\]|\\.)*)"|([^,{}"]+)/g
  for (const [, quoted, bare] of text.matchAll(pattern)) elements.push(quoted?.replaceAll(/\\(.)/g, '$1') ?? bare ?? '')
  return elements
}
