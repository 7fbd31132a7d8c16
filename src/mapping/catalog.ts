import { catalogSql } from './catalog-query.js'
import { type Queryable, readTypes, type TypeCatalog } from './types.js'

export type RelationKind = 'table' | 'partitioned table' | 'view' | 'materialized view' | 'foreign table'
export type Persistence = 'permanent' | 'unlogged' | 'temporary'
export type ReplicaIdentity = 'default' | 'nothing' | 'full' | 'index'

export interface CatalogColumn {
  readonly name: string
  readonly typeOid: number
  /** By the column or by its domain. */
  readonly notNull: boolean
  readonly generated: 'no' | 'stored' | 'virtual'
}

export interface PrimaryKeyColumn {
  readonly name: string
  /** The equality that the key's index serves, as SQL: `OPERATOR(pg_catalog.=)`. */
  readonly equals: string
  /** Its "greater than": `OPERATOR(pg_catalog.>)`. */
  readonly greater: string
}

/** What logical replication needs to know of a table, and of each partition that holds rows. */
interface Storage {
  readonly schema: string
  readonly name: string
  readonly kind: RelationKind
  readonly persistence: Persistence
  readonly replicaIdentity: ReplicaIdentity
  /** The columns that the old row of an update or delete carries in the WAL; none when the identity's index is gone. */
  readonly identityColumns: readonly string[]
}

export type CatalogPartition = Storage

export interface CatalogTable extends Storage {
  readonly oid: number
  readonly isPartition: boolean
  /** The live columns, in the table's order. */
  readonly columns: readonly CatalogColumn[]
  /** In the key's order; empty when there is none. */
  readonly primaryKey: readonly PrimaryKeyColumn[]
  /** The leaf partitions of a partitioned table: their replica identity counts, not the root's. */
  readonly partitions: readonly CatalogPartition[]
}

/** A table or view that exists, wanted or not: for hints. */
export interface KnownTable {
  readonly schema: string
  readonly name: string
}

export interface TableName {
  /** `null` is the default schema. */
  readonly schema: string | null
  readonly name: string
}

/** The wanted tables and all types of a database, as they were when they were read. */
export interface Catalog {
  readonly types: TypeCatalog
  readonly defaultSchema: string
  readonly tables: readonly CatalogTable[]
  readonly known: readonly KnownTable[]
  find(schema: string | null, name: string): CatalogTable | undefined
}

export interface ReadCatalogOptions {
  /** The schema of tables that are named without one: that of the database URL (`?schema=`), else `public`. */
  readonly defaultSchema: string
}

/** Reads `pg_catalog` in two queries, whatever the number of tables. Works on PostgreSQL 14 and newer. */
export async function readCatalog(
  client: Queryable,
  tables: readonly TableName[],
  options: ReadCatalogOptions,
): Promise<Catalog> {
  const { defaultSchema } = options
  const schemas = tables.map((table) => table.schema ?? defaultSchema)
  const { rows } = await client.query({ text: catalogSql, values: [schemas, tables.map((table) => table.name)] })
  const relations = rows as readonly RelationRow[]
  const found = relations.filter(isDetailed).map(tableOf)
  return {
    types: await readTypes(client),
    defaultSchema,
    tables: found,
    known: relations.filter((row) => row.persistence !== 't').map(({ schema, name }) => ({ schema, name })),
    find: (schema, name) => found.find((table) => table.schema === (schema ?? defaultSchema) && table.name === name),
  }
}

interface StorageRow {
  readonly schema: string
  readonly name: string
  readonly kind: keyof typeof kinds
  readonly persistence: keyof typeof persistences
  readonly replicaIdentity: keyof typeof identities
  readonly identityColumns: readonly string[]
}

interface DetailedRow extends StorageRow {
  readonly oid: string
  readonly isPartition: boolean
  readonly columns: readonly {
    readonly name: string
    readonly typeOid: number
    readonly notNull: boolean
    readonly generated: keyof typeof generations
  }[]
  readonly primaryKey: readonly PrimaryKeyColumn[]
  readonly partitions: readonly StorageRow[]
}

/** Without its details when it is not wanted. */
type RelationRow = DetailedRow | (Omit<DetailedRow, 'columns'> & { readonly columns: null })

const kinds = { r: 'table', p: 'partitioned table', v: 'view', m: 'materialized view', f: 'foreign table' } as const
const persistences = { p: 'permanent', u: 'unlogged', t: 'temporary' } as const
const identities = { d: 'default', n: 'nothing', f: 'full', i: 'index' } as const
const generations = { '': 'no', s: 'stored', v: 'virtual' } as const

function isDetailed(row: RelationRow): row is DetailedRow {
  return row.columns !== null
}

function tableOf(row: DetailedRow): CatalogTable {
  return {
    ...storageOf(row),
    oid: Number(row.oid),
    isPartition: row.isPartition,
    columns: row.columns.map((column) => ({ ...column, generated: generations[column.generated] })),
    primaryKey: row.primaryKey,
    partitions: row.partitions.map(storageOf),
  }
}

function storageOf(row: StorageRow): Storage {
  return {
    schema: row.schema,
    name: row.name,
    kind: kinds[row.kind],
    persistence: persistences[row.persistence],
    replicaIdentity: identities[row.replicaIdentity],
    identityColumns: row.identityColumns,
  }
}
