import type { Cell, RowKey } from '../capture/change.js'
import type { MappedRow, Mapping } from '../config/resolved.js'
import { SyncError } from '../errors.js'
import { computedJson, whereSays } from './computed.js'
import { fingerprint } from './fingerprint.js'
import { quote } from './json-text.js'
import type { MappedObject } from './object.js'
import type { Encoder } from './values.js'

/** What one mapping makes of a row. */
export type Mapped =
  | ({ readonly kind: 'object' } & MappedObject)
  /** `where` says no. */
  | { readonly kind: 'excluded'; readonly id: string }
  /** A column that the mapping reads is not there (an unchanged TOAST value): the row has to be read. */
  | { readonly kind: 'incomplete'; readonly id: string | undefined }
  /** `OBJECT_INVALID`: `where` or a computed field failed. Without an id where an id column is null. */
  | { readonly kind: 'invalid'; readonly id: string | undefined; readonly error: SyncError }

/** One mapping, compiled for the columns of one relation. */
export interface MappingPlan {
  readonly mapping: Mapping
  /**
   * The object's id: the id columns in Postgres' text format, joined. Also for an old row, of which only the identity
   * columns are there; `undefined` where an id column is not.
   */
  id(cells: readonly Cell[]): string | undefined
  map(cells: readonly Cell[]): Mapped
}

/** Where a column's cell stands in a row, and how it is written. */
export interface Slot {
  readonly position: number
  readonly encode: Encoder
}

/** Does once, for a relation, all that does not depend on a row; what is left for each row is joining text. */
export function compileMapping(
  mapping: Mapping,
  primaryKey: readonly string[],
  slotOf: (column: string) => Slot,
): MappingPlan {
  const idColumns = mapping.id.columns ?? primaryKey
  const idPositions = idColumns.map((name) => slotOf(name).position)
  const id = (cells: readonly Cell[]): string | undefined => joinId(mapping, idPositions, (at) => cells[at])
  const map = mapping.where === null && mapping.computed.length === 0 ? mapPlain : mapWithFunctions
  const fields = mapping.fields.map(({ column, as, property }) => ({
    ...slotOf(column),
    head: `,${JSON.stringify(as)}:`,
    property: `${JSON.stringify(property)}:`,
  }))
  return { mapping, id, map }

  function mapPlain(cells: readonly Cell[]): Mapped {
    const objectId = id(cells)
    if (objectId === undefined) return withoutId(cells)
    let json = `{"id":${quote(objectId)}`
    for (const { position, encode, head } of fields) {
      const cell = cells[position]
      if (cell === undefined) return { kind: 'incomplete', id: objectId }
      json += head + (cell === null ? 'null' : encode(cell))
    }
    json += '}'
    return { kind: 'object', id: objectId, json, fingerprint: fingerprint(json) }
  }

  function mapWithFunctions(cells: readonly Cell[]): Mapped {
    const objectId = id(cells)
    if (objectId === undefined) return withoutId(cells)
    let json = `{"id":${quote(objectId)}`
    const row: string[] = []
    for (const { position, encode, head, property } of fields) {
      const cell = cells[position]
      if (cell === undefined) return { kind: 'incomplete', id: objectId }
      const value = cell === null ? 'null' : encode(cell)
      json += head + value
      row.push(property + value)
    }
    const rowJson = `{${row.join(',')}}`
    // Parsed anew for every call: what one function does to its row must not reach the next.
    const freshRow = (): MappedRow => JSON.parse(rowJson) as MappedRow
    try {
      const { where } = mapping
      if (where !== null && !whereSays(`${mapping.path}.where`, () => where(freshRow()))) {
        return { kind: 'excluded', id: objectId }
      }
      for (const { as, value } of mapping.computed) {
        const text = computedJson(`${mapping.path}.computed.${as}`, () => value(freshRow()))
        if (text !== undefined) json += `,${JSON.stringify(as)}:${text}`
      }
    } catch (error) {
      if (error instanceof SyncError) return { kind: 'invalid', id: objectId, error }
      throw error
    }
    json += '}'
    return { kind: 'object', id: objectId, json, fingerprint: fingerprint(json) }
  }

  function withoutId(cells: readonly Cell[]): Mapped {
    if (!idPositions.some((position) => cells[position] === null)) return { kind: 'incomplete', id: undefined }
    const message = `${mapping.path}.id: an id column is null, and an object without an id cannot be sent`
    const hint = `make the id columns NOT NULL: ${idColumns.join(', ')}`
    return { kind: 'invalid', id: undefined, error: new SyncError('OBJECT_INVALID', message, { hint }) }
  }
}

/** The object's id from a row's key, for a row that is not there to be read. `undefined` where an id column is not in it. */
export function idFromKey(mapping: Mapping, primaryKey: readonly string[], key: RowKey): string | undefined {
  return joinId(mapping, mapping.id.columns ?? primaryKey, (name) => key[name])
}

function joinId<At>(mapping: Mapping, at: readonly At[], cellAt: (at: At) => Cell): string | undefined {
  let id = mapping.id.prefix
  for (const [index, one] of at.entries()) {
    const cell = cellAt(one)
    if (cell === null || cell === undefined) return undefined
    id += index === 0 ? cell : mapping.id.join + cell
  }
  return id
}
