import { closest, distance } from 'fastest-levenshtein'
import { escapeIdentifier } from 'pg'
import type { Mapping } from '../config/resolved.js'
import type { Mistake } from '../errors.js'
import type { Catalog, CatalogTable } from './catalog.js'
import { plainName, sqlName } from './table-name.js'

/** A mapped table that is not in the database, with what it could have meant. */
export function unknownTable(mapping: Mapping, catalog: Catalog): Mistake {
  const { name } = mapping.table
  const schema = mapping.table.schema ?? catalog.defaultSchema
  const message = `the table ${schema}.${name} does not exist`
  const elsewhere = catalog.known.filter((table) => table.name === name).map(plainName)
  if (elsewhere.length > 0) {
    return {
      path: mapping.path,
      message,
      hint: `a table of this name exists in another schema: ${elsewhere.join(', ')}`,
    }
  }
  const here = catalog.known.filter((table) => table.schema === schema).map((table) => table.name)
  return { path: mapping.path, message, hint: didYouMean(name, here) ?? emptyHint(schema, here) }
}

/** Mapped columns and id columns that the table does not have, and id columns that can be null. */
export function columnMistakes(mapping: Mapping, table: CatalogTable): Mistake[] {
  const names = table.columns.map((column) => column.name)
  const unknown = (path: string, column: string): Mistake => ({
    path,
    message: `the table ${plainName(table)} has no column ${column}`,
    hint: didYouMean(column, names) ?? `its columns are: ${names.join(', ')}`,
  })
  const fields = mapping.fields
    .filter((field) => !names.includes(field.column))
    .map((field) => unknown(fieldPath(mapping, field.property), field.column))
  const ids = (mapping.id.columns ?? []).flatMap((name): Mistake[] => {
    const column = table.columns.find((known) => known.name === name)
    if (column === undefined) return [unknown(`${mapping.path}.id`, name)]
    if (column.notNull || table.primaryKey.some((key) => key.name === name)) return []
    const message = `the id column ${name} can be null, and an object without an id cannot be sent`
    const hint = `ALTER TABLE ${sqlName(table)} ALTER COLUMN ${escapeIdentifier(name)} SET NOT NULL`
    return [{ path: `${mapping.path}.id`, message, hint, sql: hint }]
  })
  return [...fields, ...ids]
}

/** `models.Product.fields.title`; names that are no identifiers stand in brackets. */
export function fieldPath(mapping: Mapping, property: string): string {
  const step = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(property)
    ? `.${property}`
    : `[${JSON.stringify(property)}]`
  return `${mapping.path}.fields${step}`
}

function didYouMean(name: string, known: readonly string[]): string | undefined {
  const sameLetters = known.find((candidate) => candidate.toLowerCase() === name.toLowerCase())
  if (sameLetters !== undefined) return `did you mean ${sameLetters}? Upper and lower case count`
  if (known.length === 0) return undefined
  const nearest = closest(name, known)
  return distance(name, nearest) <= Math.max(2, name.length / 3) ? `did you mean ${nearest}?` : undefined
}

function emptyHint(schema: string, here: readonly string[]): string {
  if (here.length === 0) return `the schema ${schema} has no tables: have the migrations run on this database?`
  const shown = here.slice(0, 20).join(', ')
  return `the tables of the schema ${schema} are: ${shown}${here.length > 20 ? ', …' : ''}`
}
