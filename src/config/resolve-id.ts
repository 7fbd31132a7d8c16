import type { Path, Report } from './report.js'
import { isObject } from './resolve-fields.js'
import type { IdRule } from './resolved.js'
import { idShape } from './shapes.js'
import type { SourceTable } from './source.js'

const primaryKey: IdRule = { columns: null, join: ':', prefix: '' }

/** How the object's id is made: a field, several, or an object of `fields`, `join` and `prefix`. */
export function resolveId(id: unknown, table: SourceTable | undefined, path: Path, report: Report): IdRule {
  if (id === undefined) return primaryKey
  if (!isObject(id)) return { ...primaryKey, columns: columnsOf(id, table, path, report) }
  const options = report.parse(idShape, id, path)
  const given = id.fields
  const columns = given === undefined ? null : columnsOf(given, table, [...path, 'fields'], report)
  if (options?.join === '' && columns !== null && columns.length > 1) {
    report.add(
      [...path, 'join'],
      "is empty: '1' and '23' would give the same id as '12' and '3'",
      "leave it out for ':'",
    )
  }
  return { columns, join: options?.join ?? ':', prefix: options?.prefix ?? '' }
}

function columnsOf(fields: unknown, table: SourceTable | undefined, path: Path, report: Report): readonly string[] {
  const isList = Array.isArray(fields)
  const names: readonly unknown[] = isList ? fields : [fields]
  if (names.length === 0) report.add(path, 'names no field', 'leave it out for the primary key')
  const columns: string[] = []
  for (const [index, name] of names.entries()) {
    const at = isList ? [...path, index] : path
    if (typeof name !== 'string') {
      report.add(at, 'has to be the name of a field')
      continue
    }
    const column = table === undefined ? name : table.column(name, at, report)
    if (column !== undefined) columns.push(column)
  }
  return columns
}
