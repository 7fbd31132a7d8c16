import pg from 'pg'
import { readClientTables } from '../capture/client/read-tables.js'
import type { ClientTables } from '../capture/client/tables.js'
import type { Mapping, ResolvedSync } from '../config/resolved.js'
import { checkLedger } from '../ledger/migrate.js'
import { type CatalogTable, readCatalog } from '../mapping/catalog.js'
import type { Databases } from '../pipeline/databases.js'

/**
 * What the capture in the client has to know of the mapped tables. A mapping that does not fit its table is not refused
 * here, where the application's writes would fail of it: what its key needs is enough to note what was written.
 */
export async function clientTables(databases: Databases, resolved: ResolvedSync): Promise<ClientTables> {
  const { mappings, schema } = resolved
  const { source, defaultSchema } = databases
  // Told here, and not by the transaction of the first write; by the catalogue, since someone may hold the side tables.
  const { rows } = await source.query('SELECT pg_catalog.to_regclass($1) IS NULL AS missing', [
    `${pg.escapeIdentifier(schema)}.dirty`,
  ])
  if (rows[0]?.missing === true) await checkLedger(source, schema)
  const catalog = await readCatalog(
    source,
    mappings.map(({ table }) => table),
    { defaultSchema },
  )
  const byTable = new Map<CatalogTable, Mapping[]>()
  for (const mapping of mappings) {
    const table = catalog.find(mapping.table.schema, mapping.table.name)
    if (table !== undefined) byTable.set(table, [...(byTable.get(table) ?? []), mapping])
  }
  const tables = [...byTable].map(([{ schema: ofSchema, name, primaryKey, columns }, ofTable]) => {
    const wanted = [...primaryKey.map((column) => column.name), ...ofTable.flatMap(({ id }) => id.columns ?? [])]
    return {
      schema: ofSchema,
      name,
      keyColumns: [...new Set(wanted)].filter((column) => columns.some((one) => one.name === column)),
      tombstone: ofTable.some(({ onDelete }) => onDelete === 'tombstone'),
    }
  })
  return readClientTables(source, { tables, defaultSchema })
}
