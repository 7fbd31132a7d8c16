import { formatPath, type Path, type Report } from './report.js'
import { checkSentNames, isObject, resolveComputed, resolveFields } from './resolve-fields.js'
import { resolveId } from './resolve-id.js'
import type { Mapping } from './resolved.js'
import { mappingShape } from './shapes.js'
import type { SourceTable } from './source.js'

/** One mapping; what comes back is only of use where the report stays empty, but for the checks across mappings. */
export function resolveMapping(
  input: unknown,
  table: SourceTable | undefined,
  path: Path,
  report: Report,
): Mapping | undefined {
  const parsed = report.parse(mappingShape, input, path)
  if (!isObject(input)) return undefined

  const fields = resolveFields(input.fields, table, [...path, 'fields'], report)
  const computed = resolveComputed(input.computed, [...path, 'computed'], report)
  const id = resolveId(input.id, table, [...path, 'id'], report)

  const sent = [
    ...fields.map(({ as, property }) => ({ as, path: [...path, 'fields', property] })),
    ...computed.map(({ as }) => ({ as, path: [...path, 'computed', as] })),
  ]
  checkSentNames(sent, input.onDelete, report)
  if (isEmpty(input.fields) && (input.computed === undefined || isEmpty(input.computed))) {
    report.add([...path, 'fields'], 'names no field, so that nothing would be sent', 'map a field: { title: true }')
  }

  if (parsed === undefined || table === undefined) return undefined
  return {
    path: formatPath(path),
    table: table.table,
    namespace: parsed.namespace,
    id,
    fields,
    computed,
    where: parsed.where ?? null,
    onDelete: parsed.onDelete,
    deliver: parsed.deliver,
  }
}

function isEmpty(value: unknown): boolean {
  return isObject(value) && Object.keys(value).length === 0
}
