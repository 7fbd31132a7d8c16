import type { RowTable } from '../capture/rows.js'
import type { Mapping, ResolvedSync } from '../config/resolved.js'
import { ConfigError, type Mistake } from '../errors.js'
import { columnMistakes, unknownTable } from './bind-names.js'
import type { Catalog, CatalogTable } from './catalog.js'
import { captureMistakes, shapeMistakes } from './fitness.js'
import { plainName } from './table-name.js'
import { baseType } from './types.js'

/** A table of the database with all that is mapped from it. */
export interface BoundTable {
  /** `schema.table`, as the catalogue spells them. */
  readonly source: string
  readonly table: CatalogTable
  readonly mappings: readonly Mapping[]
  /** The primary key, then the id columns of the mappings that are not in it: what a row's key holds. */
  readonly keyColumns: readonly string[]
  /** The key columns, then the mapped ones: what is read of a row. */
  readonly readColumns: readonly string[]
  /** For reading rows by key. */
  readonly rowTable: RowTable
}

export interface BindOptions {
  readonly capture: ResolvedSync['capture']
}

/**
 * Finds every table and column of the mappings in the catalogue, and checks that the tables can be captured.
 * @throws ConfigError with all mistakes: `CONFIG_INVALID`, or `TABLE_UNFIT` where only the tables are to be changed.
 */
export function bindMappings(mappings: readonly Mapping[], catalog: Catalog, options: BindOptions): BoundTable[] {
  const misnamed: Mistake[] = []
  const unfit: Mistake[] = []
  const byTable = new Map<CatalogTable, Mapping[]>()
  for (const mapping of mappings) {
    const table = catalog.find(mapping.table.schema, mapping.table.name)
    if (table === undefined) misnamed.push(unknownTable(mapping, catalog))
    else byTable.set(table, [...(byTable.get(table) ?? []), mapping])
  }
  const bound: BoundTable[] = []
  for (const [table, ofTable] of byTable) {
    const shape = shapeMistakes(table, ofTable)
    unfit.push(...shape)
    const names = ofTable.flatMap((mapping) => columnMistakes(mapping, table))
    misnamed.push(...names)
    if (shape.length > 0 || names.length > 0) continue
    if (options.capture === 'replication') unfit.push(...captureMistakes(table, ofTable))
    bound.push(bind(table, ofTable, catalog))
  }
  if (misnamed.length + unfit.length === 0) return bound
  throw new ConfigError([...misnamed, ...unfit], {
    code: misnamed.length === 0 ? 'TABLE_UNFIT' : 'CONFIG_INVALID',
    title: 'The mapping does not fit the database',
  })
}

function bind(table: CatalogTable, mappings: readonly Mapping[], catalog: Catalog): BoundTable {
  const primaryKey = table.primaryKey.map((column) => column.name)
  const keyColumns = [...new Set([...primaryKey, ...mappings.flatMap((mapping) => mapping.id.columns ?? [])])]
  const mapped = mappings.flatMap((mapping) => mapping.fields.map((field) => field.column))
  const typeOids = new Map(table.columns.map((column) => [column.name, column.typeOid]))
  return {
    source: plainName(table),
    table,
    mappings,
    keyColumns,
    readColumns: [...new Set([...keyColumns, ...mapped])],
    rowTable: {
      schema: table.schema,
      name: table.name,
      key: table.primaryKey.map(({ name, equals, greater }) => ({
        name,
        equals,
        greater,
        type: baseType(typeOids.get(name) ?? 0, catalog.types)?.name ?? 'pg_catalog.text',
      })),
    },
  }
}
