import { arrayEncoder } from './arrays.js'
import { compactJson, quote } from './json-text.js'
import { encodeFloat, encodeInt8, encodeNumeric } from './numbers.js'
import { encodeTimestamp } from './timestamps.js'
import type { TypeCatalog } from './types.js'

/** From a value in Postgres' text format (never null) to its JSON text. */
export type Encoder = (text: string) => string

const asIs: Encoder = (text) => text
const encodeBool: Encoder = (text) => (text === 't' ? 'true' : 'false')
const encodeBytea: Encoder = (text) => `"${Buffer.from(text.slice(2), 'hex').toString('base64')}"`

/** The built-in types that are not sent as their text. Their OIDs are fixed (Postgres' `pg_type.dat`). */
const encoders: ReadonlyMap<number, Encoder> = new Map([
  [16, encodeBool],
  [17, encodeBytea],
  [20, encodeInt8],
  [21, asIs], // int2
  [23, asIs], // int4
  [114, compactJson], // json
  [700, encodeFloat], // float4
  [701, encodeFloat], // float8
  [1114, encodeTimestamp], // timestamp
  [1184, encodeTimestamp], // timestamptz
  [1700, encodeNumeric],
  [3802, asIs], // jsonb is written in one line
])

/**
 * How values of a type become JSON; the table is in the README, under "Values". The text must have been written under
 * `sessionSettings`. `undefined` for a type that the catalogue does not know: it was made after the catalogue was read.
 */
export function encoderFor(typeOid: number, types: TypeCatalog): Encoder | undefined {
  const shape = types.resolve(typeOid)
  if (shape === undefined) return undefined
  if (shape.kind === 'domain') return encoderFor(shape.base, types)
  if (shape.kind === 'base') return encoders.get(typeOid) ?? quote
  const encodeElement = encoderFor(shape.element, types)
  return encodeElement === undefined ? undefined : arrayEncoder(encodeElement, shape.delimiter)
}
