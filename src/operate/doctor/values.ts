import type { Field } from '../../config/resolved.js'
import type { BoundTable } from '../../mapping/bind.js'
import { fieldPath } from '../../mapping/bind-names.js'
import type { TypeCatalog } from '../../mapping/types.js'
import { ok, type Verdict, warning } from './finding.js'
import type { Tables } from './tables.js'

/** Any number of so many digits survives a double. */
const exactDigits = 15

/** The values of a built-in type that are sent as strings; OIDs as in `src/mapping/values.ts`. */
const strings: ReadonlyMap<number, (modifier: number) => string | null> = new Map([
  [20, () => 'bigint: a number up to 2^53 - 1, beyond it a string'],
  [700, () => 'real: NaN and Infinity are strings, all else is a number'],
  [701, () => 'double precision: NaN and Infinity are strings, all else is a number'],
  [790, () => 'money: a string, in the currency and the way of the server'],
  [1700, numericStrings],
])

function numericStrings(modifier: number): string | null {
  const precision = modifier < 4 ? null : ((modifier - 4) >> 16) & 0xffff
  if (precision !== null && precision <= exactDigits) return null
  const type = precision === null ? 'numeric without a precision' : `numeric of ${precision} digits`
  return `${type}: a number where a double holds it exactly, else a string`
}

/** Told by the columns' types; no row is read. */
export async function lookAtValues({ client, bound, catalog }: Tables): Promise<readonly Verdict[]> {
  const { rows } = await client.query<{ oid: string; name: string; modifier: number }>(
    `SELECT a.attrelid::text AS oid, a.attname AS name,
            CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier
       FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
      WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped`,
    [bound.map(({ table }) => table.oid)],
  )
  const modifiers = new Map(rows.map(({ oid, name, modifier }) => [`${oid} ${name}`, modifier]))
  const warnings = bound.flatMap((one) =>
    fieldsOf(one).flatMap(({ field, path }) => {
      const column = one.table.columns.find(({ name }) => name === field.column)
      if (column === undefined) return []
      const type = scalarType(column.typeOid, catalog.types)
      const said = strings.get(type)?.(modifiers.get(`${one.table.oid} ${column.name}`) ?? -1) ?? null
      return said === null ? [] : [warning(said, alwaysAString(field), path)]
    }),
  )
  return warnings.length > 0 ? warnings : [ok('every mapped column keeps its kind of value')]
}

/** Of an array its elements', of a domain what it stands for. */
function scalarType(oid: number, types: TypeCatalog): number {
  const shape = types.resolve(oid)
  if (shape?.kind === 'array') return scalarType(shape.element, types)
  if (shape?.kind === 'domain') return scalarType(shape.base, types)
  return oid
}

const alwaysAString = ({ as, property }: Field) => [
  {
    do: `Nothing, where such values do not occur; else let it be a string always: fields: { ${property}: { as: '${as}_number' } }, computed: { ${as}: { value: (row) => row.${property} === null ? null : String(row.${property}) } }`,
  },
]

/** Generated columns that the WAL does not hold. */
export function lookAtGenerated({ bound, resolved }: Tables): readonly Verdict[] {
  const found = bound.flatMap((one) =>
    fieldsOf(one).flatMap(({ field, path }) => {
      const column = one.table.columns.find(({ name }) => name === field.column)
      return column === undefined || column.generated === 'no' ? [] : [{ field, path, generated: column.generated }]
    }),
  )
  if (resolved.capture !== 'replication') return [ok(`${found.length} are mapped; they are read with their rows`)]
  if (found.length === 0) return [ok('none is mapped')]
  return found.map(({ field, path, generated }) =>
    warning(
      `${field.column} is generated (${generated})`,
      [{ do: 'Nothing, where a read for each change does no harm; else map what it is made of, with `computed`.' }],
      path,
    ),
  )
}

const fieldsOf = ({ mappings }: BoundTable) =>
  mappings.flatMap((mapping) => mapping.fields.map((field) => ({ field, path: fieldPath(mapping, field.property) })))
