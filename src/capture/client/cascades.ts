import type { ClientTables, ForeignKey } from './tables.js'

/** What is done to rows of a table: columns are those that may get other values, `null` where that is not known. */
export type Change =
  | { readonly kind: 'insert' }
  | { readonly kind: 'update'; readonly columns: readonly string[] | null }
  | { readonly kind: 'delete' }
  /** `TRUNCATE … CASCADE`, which goes to every referencing table, whatever their foreign keys say. */
  | { readonly kind: 'truncate' }

/** Follows changes to the mapped tables, through foreign keys and through views. */
export class Cascades {
  readonly #byParent = new Map<string, ForeignKey[]>()
  readonly #tombstone: ReadonlyMap<string, boolean>
  readonly #writes: ReadonlyMap<string, readonly string[]>

  constructor(tables: ClientTables) {
    this.#tombstone = new Map(tables.tables.map((table) => [table.source, table.tombstone]))
    this.#writes = new Map(tables.relations.map((relation) => [`${relation.schema}.${relation.name}`, relation.writes]))
    for (const key of tables.foreignKeys) {
      this.#byParent.set(key.parent, [...(this.#byParent.get(key.parent) ?? []), key])
    }
  }

  /** The mapped tables of which rows may have to be sent after a change, the changed one included. */
  of(source: string, change: Change): Set<string> {
    const marks = new Set<string>()
    for (const table of this.#writes.get(source) ?? [source]) this.#follow(table, change, marks, new Set())
    return marks
  }

  /** The same without the table itself, unless rows of it refer to each other. */
  beyond(source: string, change: Change): Set<string> {
    const marks = new Set<string>()
    this.#followKeys(source, change, marks, new Set())
    return marks
  }

  #follow(table: string, change: Change, marks: Set<string>, seen: Set<string>): void {
    const step = `${table} ${change.kind} ${change.kind === 'update' ? (change.columns?.join() ?? '*') : ''}`
    if (seen.has(step)) return
    seen.add(step)
    const tombstone = this.#tombstone.get(table)
    const goes = change.kind === 'delete' || change.kind === 'truncate'
    if (tombstone !== undefined && (tombstone || !goes)) marks.add(table)
    this.#followKeys(table, change, marks, seen)
  }

  #followKeys(table: string, change: Change, marks: Set<string>, seen: Set<string>): void {
    if (change.kind === 'insert') return
    for (const key of this.#byParent.get(table) ?? []) {
      const next = consequence(key, change)
      if (next !== null) this.#follow(key.child, next, marks, seen)
    }
  }
}

function consequence(key: ForeignKey, change: Exclude<Change, { kind: 'insert' }>): Change | null {
  const columns = key.childColumns
  if (change.kind === 'truncate') return { kind: 'truncate' }
  if (change.kind === 'delete') {
    if (key.onDelete === 'none') return null
    return key.onDelete === 'cascade' ? { kind: 'delete' } : { kind: 'update', columns }
  }
  const touched = change.columns === null || change.columns.some((column) => key.parentColumns.includes(column))
  return touched && key.onUpdate !== 'none' ? { kind: 'update', columns } : null
}
