import { escapeIdentifier } from 'pg'
import { SyncError } from '../../errors.js'

/** What the mapping needs to be published. */
export interface WantedPublication {
  readonly name: string
  readonly tables: readonly WantedTable[]
}

export interface TableName {
  readonly schema: string
  readonly name: string
}

export interface WantedTable extends TableName {
  /** The columns that may leave the database (PostgreSQL 15 and newer); `null` for all of them. */
  readonly columns: readonly string[] | null
}

/** A publication as the catalogue shows it. */
export interface CurrentPublication {
  readonly allTables: boolean
  /** Schemas whose tables are all published. */
  readonly schemas: readonly string[]
  readonly viaPartitionRoot: boolean
  /** Whether inserts, updates, deletes and truncates are all published. */
  readonly allOperations: boolean
  readonly tables: readonly PublishedTable[]
}

export interface PublishedTable extends WantedTable {
  /** Whether it has a row filter, which keeps rows from us. */
  readonly filtered: boolean
}

/** One change: why, and the exact SQL. */
export interface PublicationStep {
  readonly message: string
  readonly sql: string
}

export interface PublicationPlan {
  /** What to run, in one transaction and in this order; empty when everything fits. */
  readonly steps: readonly PublicationStep[]
  /** What this package does not change on its own, because others may use it. */
  readonly refusals: readonly SyncError[]
}

const OPTIONS = `(publish = 'insert, update, delete, truncate', publish_via_partition_root = true)`

/** What leads from the publication that is there (`null`: none) to the wanted one. */
export function publicationPlan(current: CurrentPublication | null, wanted: WantedPublication): PublicationPlan {
  const name = escapeIdentifier(wanted.name)
  const create = createSql(wanted)
  if (current === null) {
    return { steps: [{ message: `The publication ${name} does not exist`, sql: create }], refusals: [] }
  }
  const steps: PublicationStep[] = []
  const refusals: SyncError[] = []
  if (!current.allOperations || !current.viaPartitionRoot) {
    steps.push({
      message: `The publication ${name} leaves out operations, or publishes partitions under their own names`,
      sql: `ALTER PUBLICATION ${name} SET ${OPTIONS};`,
    })
  }
  const covers = (table: WantedTable): boolean => current.allTables || current.schemas.includes(table.schema)
  const narrowed = wanted.tables.filter((table) => covers(table) && table.columns !== null)
  if (narrowed.length > 0) {
    const tables = narrowed.map(tableSql).join(', ')
    refusals.push(
      new SyncError('PUBLICATION_UNFIT', `The publication ${name} publishes all columns of ${tables}`, {
        hint: `DROP PUBLICATION ${name};\n${create}\nOr set publication.columns to 'all'.`,
      }),
    )
  }
  const alter = (message: string, change: string): void => {
    steps.push({ message, sql: `ALTER PUBLICATION ${name} ${change};` })
  }
  const wantedByName = new Map(wanted.tables.map((table) => [tableSql(table), table]))
  const currentByName = new Map(current.tables.map((table) => [tableSql(table), table]))
  for (const [table, published] of currentByName) {
    const target = wantedByName.get(table)
    if (target === undefined) {
      alter(`The publication ${name} has the table ${table}, which is not mapped`, `DROP TABLE ONLY ${table}`)
    } else if (published.filtered || !sameColumns(published.columns, target.columns)) {
      alter(`The publication ${name} has other rows or columns of ${table}`, `DROP TABLE ONLY ${table}`)
      if (!covers(target))
        alter(`The mapping needs other columns of ${table}`, `ADD TABLE ${tableWithColumnsSql(target)}`)
    }
  }
  for (const [table, target] of wantedByName) {
    if (currentByName.has(table) || covers(target)) continue
    alter(`The publication ${name} lacks the table ${table}`, `ADD TABLE ${tableWithColumnsSql(target)}`)
  }
  return { steps, refusals }
}

/** Tables of which a slot brings nothing, or not all that is written, as long as the publication is this one. */
export function unpublished(current: CurrentPublication | null, tables: readonly TableName[]): readonly TableName[] {
  if (current === null || !current.allOperations || !current.viaPartitionRoot) return tables
  return tables.filter(({ schema, name }) => {
    if (current.allTables || current.schemas.includes(schema)) return false
    const listed = current.tables.find((table) => table.schema === schema && table.name === name)
    return listed === undefined || listed.filtered
  })
}

/** `"schema"."name"`. */
export function tableSql(table: TableName): string {
  return `${escapeIdentifier(table.schema)}.${escapeIdentifier(table.name)}`
}

function createSql(wanted: WantedPublication): string {
  const tables = wanted.tables.map(tableWithColumnsSql).join(', ')
  return `CREATE PUBLICATION ${escapeIdentifier(wanted.name)}${tables && ` FOR TABLE ${tables}`} WITH ${OPTIONS};`
}

/** `ONLY` leaves children by inheritance out; partitions come with their root all the same. */
function tableWithColumnsSql(table: WantedTable): string {
  const columns = table.columns === null ? '' : ` (${table.columns.map(escapeIdentifier).join(', ')})`
  return `ONLY ${tableSql(table)}${columns}`
}

function sameColumns(a: readonly string[] | null, b: readonly string[] | null): boolean {
  if (a === null || b === null) return a === b
  return a.length === b.length && a.every((column) => b.includes(column))
}
