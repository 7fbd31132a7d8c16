import type { RowKey } from '../../capture/change.js'
import { type RowReader, readRows } from '../../capture/rows.js'
import type { Comparison, LedgerObject } from '../../ledger/comparison.js'
import { idFromKey } from '../../mapping/mapping-plan.js'
import type { Source, Sources, Target } from '../sources.js'
import { splitId } from './id-splits.js'
import { type Standing, standingOf } from './standing.js'

export interface GoneWalkOptions {
  readonly db: RowReader
  readonly comparison: Comparison
  readonly sources: Sources
  /** The table, by its name in the mapping. */
  readonly source: string
  /** Which of its mappings. */
  readonly mapping: number
  /** After this id. Default: from the beginning. */
  readonly from?: string | null
  /** Objects that are looked up at once. Default: 1,000. */
  readonly objects?: number
}

/** An object of the ledger that no row of the table has. */
export interface GoneObject {
  readonly id: string
  readonly key: RowKey
  readonly standing: Standing
}

export interface GoneChunk {
  readonly gone: readonly GoneObject[]
  /** Objects whose id names no key of the table (any more): it is not known whether their row is gone. */
  readonly untold: number
  /** The last id that was looked at; `null` where there is none. */
  readonly position: string | null
  readonly last: boolean
}

/** Whether the key of a row can be told from an object's id. Else a row that is gone is only noticed when it goes. */
export function tellsKey({ bound }: Source, { mapping }: Target): boolean {
  const { columns } = mapping.id
  return columns === null || bound.table.primaryKey.every(({ name }) => columns.includes(name))
}

/** A walk over what the ledger knows of a mapping, by id, that finds the objects whose row is gone. */
export class GoneWalk {
  readonly #options: GoneWalkOptions
  #position: string | null
  #ended = false

  constructor(options: GoneWalkOptions) {
    this.#options = options
    this.#position = options.from ?? null
  }

  /** The next ones; `null` after the last, and where the mapping is not one whose ids tell the key. */
  async next(): Promise<GoneChunk | null> {
    const { db, sources, comparison, objects: limit = 1_000 } = this.#options
    const source = sources.get(this.#options.source)
    const target = source?.targets[this.#options.mapping]
    if (this.#ended || source === undefined || target === undefined || !tellsKey(source, target)) return null
    // Under the name of the mapping, and the one that the table was given since.
    const names = [...new Set([source.name, source.bound.source])]
    const { namespace } = target.mapping
    const known = await comparison.objectsAfter({ namespace, sources: names }, this.#position, limit)
    const candidates = known.map((object) => keysOf(source, target, object))
    const { rowTable, keyColumns } = source.bound
    const { rows, columns } = await readRows(db, rowTable, keyColumns, candidates.flat())
    const columnNames = columns.map(({ name }) => name)
    const primaryKey = source.bound.table.primaryKey.map(({ name }) => name)
    const gone: GoneObject[] = []
    let untold = 0
    let at = 0
    for (const [index, object] of known.entries()) {
      const keys = candidates[index] ?? []
      const found = keys.map((key, nr) => ({ key, cells: rows[at + nr] }))
      at += keys.length
      const isThere = found.some(
        ({ cells }) => cells != null && idFromKey(target.mapping, primaryKey, asKey(columnNames, cells)) === object.id,
      )
      if (isThere) continue
      // A key that is none of the table's would come back as a mark of the whole table.
      const readable = found.find(({ cells }) => cells !== undefined)
      if (readable === undefined) untold += 1
      else gone.push({ id: object.id, key: readable.key, standing: standingOfGone(target, object) })
    }
    this.#position = known.at(-1)?.id ?? this.#position
    this.#ended = known.length < limit
    return { gone, untold, position: this.#position, last: this.#ended }
  }
}

function standingOfGone(target: Target, object: LedgerObject): Standing {
  const tombstone = target.origin.tombstone?.(object.id).fingerprint ?? null
  return standingOf({ kind: 'nothing', tombstone }, object)
}

/** The keys that the object's id can stand for: more than one where a value holds the separator. */
function keysOf(source: Source, { mapping }: Target, { id }: LedgerObject): readonly RowKey[] {
  const { prefix, join } = mapping.id
  if (!id.startsWith(prefix)) return []
  const columns = mapping.id.columns ?? source.bound.table.primaryKey.map(({ name }) => name)
  return splitId(id.slice(prefix.length), join, columns.length).map((values) =>
    Object.fromEntries(columns.map((column, at) => [column, values[at] ?? ''])),
  )
}

const asKey = (columns: readonly string[], cells: readonly (string | null)[]): RowKey =>
  Object.fromEntries(columns.flatMap((name, at) => (typeof cells[at] === 'string' ? [[name, cells[at]]] : [])))
