import type { Cell } from '../../src/capture/change.js'
import type { Mapping } from '../../src/config/resolved.js'
import type { BoundTable } from '../../src/mapping/bind.js'
import { compileTable, type TablePlan } from '../../src/mapping/mapper.js'
import type { Mapped } from '../../src/mapping/mapping-plan.js'
import type { TypeCatalog } from '../../src/mapping/types.js'
import { type MappingWords, mappingOf } from './mapping-of.js'

export const oids = { int4: 23, text: 25, numeric: 1700, jsonb: 3802, bool: 16, mood: 90_000 }
export const types: TypeCatalog = {
  resolve: (oid) => (oid < 90_000 ? { kind: 'base', name: 'pg_catalog.any' } : undefined),
}
export const relation = [
  { name: 'id', typeOid: oids.int4 },
  { name: 'secret', typeOid: oids.text },
  { name: 'title', typeOid: oids.text },
  { name: 'price', typeOid: oids.numeric },
  { name: 'slug', typeOid: oids.text },
  { name: 'meta', typeOid: oids.jsonb },
]

/** The table `products` as the catalogue would have it. */
export function boundTo(mappings: readonly Mapping[], primaryKey = ['id']): BoundTable {
  const keyColumns = [...new Set([...primaryKey, ...mappings.flatMap((mapping) => mapping.id.columns ?? [])])]
  const fields = mappings.flatMap((mapping) => mapping.fields.map((field) => field.column))
  const columns = relation.map((column) => ({ ...column, notNull: true, generated: 'no' as const }))
  const key = primaryKey.map((name) => ({ name, equals: 'OPERATOR(pg_catalog.=)', greater: 'OPERATOR(pg_catalog.>)' }))
  const storage = { schema: 'public', name: 'products', kind: 'table', persistence: 'permanent' } as const
  return {
    source: 'public.products',
    table: {
      ...storage,
      oid: 1,
      isPartition: false,
      columns,
      primaryKey: key,
      replicaIdentity: 'default',
      identityColumns: primaryKey,
      partitions: [],
    },
    mappings,
    keyColumns,
    readColumns: [...new Set([...keyColumns, ...fields])],
    rowTable: { schema: 'public', name: 'products', key: [] },
  }
}

export function planOf(words: readonly MappingWords[], primaryKey?: string[]): TablePlan {
  const plan = compileTable(boundTo(words.map(mappingOf), primaryKey), relation, types)
  if (!plan.fits) throw new Error(`does not fit: ${JSON.stringify(plan)}`)
  return plan
}

/** The cells of a row in the order in which the plan wants them. */
export const cellsOf = (plan: TablePlan, row: Readonly<Record<string, Cell>>): Cell[] =>
  plan.columns.map((index) => row[relation[index]!.name])

export const row = { id: '7', secret: 's3cret', title: 'A "table"', price: '12.50', slug: 'a-table', meta: '{"a": 1}' }

export function map(words: Omit<MappingWords, 'table'>, values: Readonly<Record<string, Cell>> = row): Mapped {
  const plan = planOf([{ table: 'products', ...words }])
  return plan.mappings[0]!.map(cellsOf(plan, values))
}
