import type { z } from 'zod'
import type { Path, Report } from './report.js'
import type { ComputedField, Field, FieldSettings, Json } from './resolved.js'
import { computedShape, fieldShape } from './shapes.js'
import type { SourceTable } from './source.js'

/** What is sent of a row. A table that is not known (`undefined`) has its fields' settings checked, not their names. */
export function resolveFields(
  fields: unknown,
  table: SourceTable | undefined,
  path: Path,
  report: Report,
): readonly Field[] {
  const resolved: Field[] = []
  for (const [name, input] of entriesOf(fields, path, report)) {
    const at = [...path, name]
    const column = table === undefined ? name : table.column(name, at, report)
    if (input !== true && !isObject(input)) {
      report.add(at, 'has to be true or an object of settings', 'leave out what is not to be sent')
      continue
    }
    const options = report.parse(fieldShape, input === true ? {} : input, at)
    if (options === undefined || column === undefined) continue
    const { as = name, ...settings } = options
    resolved.push({ column, property: name, as, settings: settingsOf(settings, at, report) })
  }
  return resolved
}

/** What is computed from the row. */
export function resolveComputed(computed: unknown, path: Path, report: Report): readonly ComputedField[] {
  if (computed === undefined) return []
  const resolved: ComputedField[] = []
  for (const [as, input] of entriesOf(computed, path, report)) {
    const at = [...path, as]
    const options = report.parse(computedShape, input, at)
    if (options === undefined) continue
    const { value, ...settings } = options
    resolved.push({ as, value, settings: settingsOf(settings, at, report) })
  }
  return resolved
}

/** Refuses names that two fields are sent under, and those that the object's own words need. */
export function checkSentNames(
  sent: readonly { readonly as: string; readonly path: Path }[],
  onDelete: unknown,
  report: Report,
): void {
  const taken = new Map<string, Path>()
  for (const { as, path } of sent) {
    if (as === 'id') {
      report.add(path, "is sent as 'id', which is the object's own", "send it under another name: as: 'product_id'")
    } else if (as === 'deleted' && onDelete === 'tombstone') {
      report.add(path, "is sent as 'deleted', which a tombstone says", 'send it under another name, with `as`')
    }
    const first = taken.get(as)
    if (first === undefined) taken.set(as, path)
    else
      report.add(
        path,
        `is sent as ${JSON.stringify(as)}, as is ${String(first.at(-1))}`,
        'give one of them another `as`',
      )
  }
}

type GivenSettings = Omit<z.output<typeof fieldShape>, 'as'>

function settingsOf({ unchecked = {}, ...known }: GivenSettings, path: Path, report: Report): FieldSettings {
  const given: Record<string, Json> = {}
  for (const [name, value] of Object.entries(known)) if (value !== undefined) given[name] = value
  for (const name of Object.keys(unchecked)) {
    if (name in given) report.add([...path, 'unchecked', name], 'is set twice', 'leave one of them out')
  }
  return { ...given, ...unchecked }
}

function entriesOf(value: unknown, path: Path, report: Report): [string, unknown][] {
  if (isObject(value)) return Object.entries(value)
  report.add(path, value === undefined ? 'is missing' : 'has to be an object')
  return []
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
