import { escapeIdentifier } from 'pg'
import type { Mapping } from '../config/resolved.js'
import type { Mistake } from '../errors.js'
import type { CatalogPartition, CatalogTable } from './catalog.js'
import { plainName, sqlName } from './table-name.js'

/** Why a relation cannot be mapped at all: it is no table, or its rows have no key. */
export function shapeMistakes(table: CatalogTable, mappings: readonly Mapping[]): Mistake[] {
  if (table.kind !== 'table' && table.kind !== 'partitioned table') {
    const message = `${plainName(table)} is a ${table.kind}: changes can only be captured of tables`
    return [mistake(mappings, message, 'map the tables behind it, with `computed` for what it adds')]
  }
  if (table.primaryKey.length > 0) return []
  const message = `the table ${plainName(table)} has no primary key, by which its rows are known`
  const columns = keyCandidate(table, mappings)
  const sql = `ALTER TABLE ${sqlName(table)} ADD PRIMARY KEY (${columns ?? '…'})`
  return [columns === null ? mistake(mappings, message, sql) : mendedBySql(mappings, message, sql)]
}

/** Why logical replication cannot capture a table: its rows are not in the WAL, or its deletes do not say of which row. */
export function captureMistakes(table: CatalogTable, mappings: readonly Mapping[]): Mistake[] {
  const stores: readonly CatalogPartition[] = table.kind === 'partitioned table' ? table.partitions : [table]
  const outside = stores.flatMap((store): Mistake[] => {
    if (store.kind === 'foreign table') {
      const detach = `ALTER TABLE ${sqlName(table)} DETACH PARTITION ${sqlName(store)}`
      return [
        mendedBySql(mappings, `the partition ${plainName(store)} is a foreign table, and not in this WAL`, detach),
      ]
    }
    if (store.persistence === 'permanent') return []
    const message = `the table ${plainName(store)} is ${store.persistence}, and so not in the WAL`
    if (store.persistence === 'temporary') return [mistake(mappings, message, undefined)]
    return [mendedBySql(mappings, message, `ALTER TABLE ${sqlName(store)} SET LOGGED`)]
  })
  return [...outside, ...identityMistakes(table, stores, mappings)]
}

/** The old row has to name the primary key, and for a tombstone the object's id as well. */
function identityMistakes(
  table: CatalogTable,
  stores: readonly CatalogPartition[],
  mappings: readonly Mapping[],
): Mistake[] {
  const primaryKey = table.primaryKey.map((column) => column.name)
  const tombstoneIds = mappings.flatMap((mapping) =>
    mapping.onDelete === 'tombstone' ? (mapping.id.columns ?? []) : [],
  )
  const needed = [...new Set([...primaryKey, ...tombstoneIds])]
  const generated = needed.filter((name) => table.columns.some((c) => c.name === name && c.generated !== 'no'))
  if (generated.length > 0) {
    const message = `${generated.join(', ')} of ${plainName(table)} is generated, and generated columns are not in the WAL`
    return [mistake(mappings, message, "capture this database with `capture: 'trigger'`")]
  }
  const unfit = stores.filter((store) => needed.some((name) => !store.identityColumns.includes(name)))
  const [first] = unfit
  if (first === undefined) return []
  const lacksKey = unfit.some((store) => primaryKey.some((name) => !store.identityColumns.includes(name)))
  const message =
    first.identityColumns.length === 0
      ? `the table ${plainName(first)} has no usable replica identity: once it is published, Postgres refuses the ` +
        'updates and deletes of the application'
      : lacksKey
        ? `the replica identity of ${plainName(first)} does not hold the primary key, so that deletes do not say of which row`
        : `the replica identity of ${plainName(first)} does not hold ${tombstoneIds.join(', ')}, which the id of a tombstone needs`
  // Under DEFAULT a primary key is missing only where it is deferrable: then nothing less than FULL holds it.
  const keyIsEnough = tombstoneIds.every((name) => primaryKey.includes(name))
  const identity = keyIsEnough && unfit.every((store) => store.replicaIdentity !== 'default') ? 'DEFAULT' : 'FULL'
  const sql = alterIdentity(table, unfit, identity)
  return [unfit.length < shownTables ? mendedBySql(mappings, message, sql) : mistake(mappings, message, sql)]
}

/** So many are named in a hint. */
const shownTables = 10

/** Partitions do not take over the root's replica identity, and the root's is what the stream describes. */
function alterIdentity(table: CatalogTable, unfit: readonly CatalogPartition[], identity: string): string {
  const tables = [...new Set([table, ...unfit])]
  const shown = tables.slice(0, shownTables).map((one) => `ALTER TABLE ${sqlName(one)} REPLICA IDENTITY ${identity}`)
  const rest = tables.length > shownTables ? `; and the same for ${tables.length - shownTables} more partitions` : ''
  return `${shown.join('; ')}${rest}`
}

function keyCandidate(table: CatalogTable, mappings: readonly Mapping[]): string | null {
  const known = new Set(table.columns.map((column) => column.name))
  const ids = mappings.map((mapping) => mapping.id.columns).find((columns) => columns?.every((name) => known.has(name)))
  if (ids !== undefined && ids !== null) return ids.map(escapeIdentifier).join(', ')
  return known.has('id') ? escapeIdentifier('id') : null
}

function mistake(mappings: readonly Mapping[], message: string, hint: string | undefined): Mistake {
  return { path: mappings[0]?.path ?? 'mappings', message, hint }
}

const mendedBySql = (mappings: readonly Mapping[], message: string, sql: string): Mistake => ({
  ...mistake(mappings, message, sql),
  sql,
})
