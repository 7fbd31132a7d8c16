import type { RowKey } from '../capture/change.js'
import type { BoundTable } from '../mapping/bind.js'

type KeyedTable = Pick<BoundTable, 'table' | 'keyColumns'>

/**
 * A row's key under the names that the table has now. A key can be older or newer than what is known of the table: where
 * just one column of the primary key is missing and one unknown name is there, that column was renamed.
 */
export function keyAsBound(bound: KeyedTable, key: RowKey): RowKey {
  const renamed = renamedKeyColumn(bound, Object.keys(key))
  if (renamed === undefined) return key
  const { from, to } = renamed
  return Object.fromEntries(Object.entries(key).map(([name, value]) => [name === from ? to : name, value]))
}

/** Of the names of a key's columns, the one that is unknown, and the column of the primary key that it must be. */
export function renamedKeyColumn(
  { table, keyColumns }: KeyedTable,
  names: readonly string[],
): { readonly from: string; readonly to: string } | undefined {
  const [to, ...missing] = table.primaryKey.map((column) => column.name).filter((name) => !names.includes(name))
  if (to === undefined || missing.length > 0) return undefined
  const [from, ...unknown] = names.filter((name) => !keyColumns.includes(name))
  return from === undefined || unknown.length > 0 ? undefined : { from, to }
}
