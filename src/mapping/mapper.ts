import type { Cell, RowKey } from '../capture/change.js'
import type { BoundTable } from './bind.js'
import { compileMapping, type MappingPlan, type Slot } from './mapping-plan.js'
import type { TypeCatalog } from './types.js'
import { encoderFor } from './values.js'

/** A column of a relation as the WAL described it, or of a SELECT. */
export interface PlannedColumn {
  readonly name: string
  readonly typeOid: number
}

/** How the rows of one relation are mapped, compiled once. */
export interface TablePlan {
  readonly fits: true
  /** Which of the given columns are to be decoded, by index, ascending; the cells of a row are handed over in this order. */
  readonly columns: readonly number[]
  /** The row's key: the primary key and the id columns, without those that are not there (an old row has only its identity). */
  key(cells: readonly Cell[]): RowKey
  readonly mappings: readonly MappingPlan[]
}

/** Why a relation cannot be mapped: the rows are to be read instead, or the mapping does not fit any more. */
export interface Misfit {
  readonly fits: false
  /** Mapped or key columns that the relation lacks: dropped, renamed, or generated and so not in the WAL. */
  readonly missing: readonly string[]
  /** Mapped columns whose type was made after the catalogue was read. */
  readonly unknownTypes: readonly string[]
}

/** Compiles the mappings of a table for the columns of one relation. For both doors, so that a row is the same through either. */
export function compileTable(
  bound: BoundTable,
  columns: readonly PlannedColumn[],
  types: TypeCatalog,
): TablePlan | Misfit {
  const wanted = new Set(bound.readColumns)
  const indices = columns.flatMap((column, index) => (wanted.has(column.name) ? [index] : []))
  const slots = new Map<string, Slot>()
  const unknownTypes: string[] = []
  for (const [position, index] of indices.entries()) {
    const column = columns[index]
    if (column === undefined) continue
    const encode = encoderFor(column.typeOid, types)
    if (encode === undefined) unknownTypes.push(column.name)
    else slots.set(column.name, { position, encode })
  }
  const missing = bound.readColumns.filter((name) => !columns.some((column) => column.name === name))
  if (missing.length + unknownTypes.length > 0) return { fits: false, missing, unknownTypes }

  const slotOf = (name: string): Slot => slots.get(name) ?? notPlanned(name)
  const keySlots = bound.keyColumns.map((name) => ({ name, position: slotOf(name).position }))
  const primaryKey = bound.table.primaryKey.map((column) => column.name)
  return {
    fits: true,
    columns: indices,
    key(cells) {
      const key: Record<string, string> = {}
      for (const { name, position } of keySlots) {
        const cell = cells[position]
        if (typeof cell === 'string') key[name] = cell
      }
      return key
    },
    mappings: bound.mappings.map((mapping) => compileMapping(mapping, primaryKey, slotOf)),
  }
}

function notPlanned(name: string): never {
  throw new RangeError(`the column ${name} is mapped but not among the columns to read`)
}
