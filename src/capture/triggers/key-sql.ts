import { escapeIdentifier, escapeLiteral } from 'pg'
import type { KeyColumnType } from './captured-table.js'

/** The types whose cast to text writes what their output function writes, whatever the session's settings: by OID. */
const plainTypes = new Set([
  20, // int8
  21, // int2
  23, // int4
  25, // text
  1043, // varchar
  2950, // uuid
])

const isPlain = (column: KeyColumnType): boolean => plainTypes.has(column.typeOid)

/**
 * A row's key as SQL: each column's text as its output function writes it in a session of ours. A cast to text would hide
 * that a key was retyped, and write a date as the writer's session likes it; so the types are looked at.
 * @param row what the columns are taken of: `NEW`, an alias.
 */
export function keySql(row: string, columns: readonly KeyColumnType[], schema: string): string {
  const plain = columns.filter(isPlain)
  const ofAnyTypes = keyOfAnyTypesSql(row, columns, schema)
  if (plain.length === 0) return ofAnyTypes
  const typesFit = plain.map(
    (column) =>
      `pg_catalog.pg_typeof(${cell(row, column)})::pg_catalog.oid OPERATOR(pg_catalog.=) ${column.typeOid}::pg_catalog.oid`,
  )
  const fast = object(
    columns.map((column) => [
      column.name,
      isPlain(column) ? `${cell(row, column)}::pg_catalog.text` : ofAnyType(row, column, schema),
    ]),
  )
  return `CASE WHEN ${typesFit.join(' AND ')} THEN ${fast} ELSE ${ofAnyTypes} END`
}

/** The same for whatever types the columns have by now. */
export function keyOfAnyTypesSql(row: string, columns: readonly KeyColumnType[], schema: string): string {
  return object(columns.map((column) => [column.name, ofAnyType(row, column, schema)]))
}

/** Writes a value of any type as its output function does in a session of ours. */
export const keyTextName = 'key_text'

const cell = (row: string, { name }: KeyColumnType): string => `${row}.${escapeIdentifier(name)}`
const ofAnyType = (row: string, column: KeyColumnType, schema: string): string =>
  `${escapeIdentifier(schema)}.${keyTextName}(${cell(row, column)})`

const object = (entries: readonly (readonly [name: string, sql: string])[]): string =>
  `pg_catalog.jsonb_build_object(${entries.map(([name, sql]) => `${escapeLiteral(name).trim()}, ${sql}`).join(', ')})`
