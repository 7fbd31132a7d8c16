import type { KeyColumn } from './tables.js'

/** Gives a value as Postgres' output function writes it; `undefined` where it cannot be known here. */
export type ToText = (value: unknown) => string | undefined

/**
 * How the client's values of a key column are written, or `undefined` for a type whose text cannot be derived from them:
 * floats, numerics without a scale, times with more digits than a `Date` has.
 * `values` are the enum's: the client's word → the database's.
 */
export function textOf(column: KeyColumn, values: ReadonlyMap<string, string> | undefined): ToText | undefined {
  if (column.labels !== null) return enumText(column.labels, values)
  const digits = column.typmod
  switch (column.type) {
    case 'int2':
    case 'int4':
    case 'int8':
    case 'oid':
      return (value) => (typeof value === 'bigint' || Number.isSafeInteger(value) ? String(value) : undefined)
    case 'text':
    case 'varchar':
    case 'bpchar':
    case 'citext':
    case 'uuid':
    case 'inet':
    case 'bit':
    case 'varbit':
      return (value) => (typeof value === 'string' ? value : undefined)
    case 'bool':
      return (value) => (typeof value === 'boolean' ? (value ? 't' : 'f') : undefined)
    case 'bytea':
      return (value) => (value instanceof Uint8Array ? `\\x${Buffer.from(value).toString('hex')}` : undefined)
    case 'numeric':
      return digits < 0 ? undefined : (value) => fixed(value, scaleOf(digits))
    case 'date':
      return (value) => dateParts(value)?.date
    case 'time':
      return digits < 0 || digits > 3 ? undefined : (value) => dateParts(value)?.time
    case 'timestamp':
    case 'timestamptz': {
      const zone = column.type === 'timestamptz' ? '+00' : ''
      if (digits < 0 || digits > 3) return undefined
      return (value) => {
        const parts = dateParts(value)
        return parts && `${parts.date} ${parts.time}${zone}`
      }
    }
    default:
      return undefined
  }
}

function enumText(labels: readonly string[], values: ReadonlyMap<string, string> | undefined): ToText {
  return (value) => {
    if (typeof value !== 'string') return undefined
    const label = values?.get(value) ?? value
    return labels.includes(label) ? label : undefined
  }
}

/** In `numeric(precision, scale)` the scale is the modifier's lower eleven bits, signed. */
function scaleOf(typmod: number): number {
  return Math.max(0, (((typmod - 4) & 0x7ff) ^ 1024) - 1024)
}

function fixed(value: unknown, scale: number): string | undefined {
  const decimal = value as { toFixed?: unknown } | null
  if (typeof decimal !== 'object' || decimal === null || typeof decimal.toFixed !== 'function') return undefined
  return String(decimal.toFixed(scale))
}

/** Dates before Christ and past the year 9999 are written otherwise, and are left to a scan. */
function dateParts(value: unknown): { readonly date: string; readonly time: string } | undefined {
  if (!(value instanceof Date) || Number.isNaN(value.getTime())) return undefined
  const iso = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.(\d{3})Z$/.exec(value.toISOString())
  if (iso?.[1] === undefined || iso[1].startsWith('0000')) return undefined
  const fraction = iso[3]?.replace(/0+$/, '')
  return { date: iso[1], time: fraction ? `${iso[2]}.${fraction}` : `${iso[2]}` }
}
