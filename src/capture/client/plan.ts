import { Cascades, type Change } from './cascades.js'
import { type KeyField, type Model, modelsOf } from './models.js'
import { NestedWrites } from './nested-writes.js'
import type { PrismaInternals } from './prisma-client.js'
import { type SqlWrite, sqlCalls, sqlWrites } from './sql-writes.js'
import type { ClientTables } from './tables.js'

/** What has to go into `dirty` with an operation. */
export interface Plan {
  /** The rows of the result are captured by their key. */
  readonly keys: { readonly model: Model; readonly source: string; readonly fields: readonly KeyField[] } | null
  /** The tables that are marked as a whole. */
  readonly marks: ReadonlySet<string>
  /** The operation whose result holds the rows, where the one that was called only counts them. */
  readonly twin: string | null
  /**
   * Constraints that are checked at commit have to be checked by the statement, as they are without a transaction
   * around it: what a commit fails with is not in Prisma's words, and Prisma 6 then loses the connection.
   */
  readonly immediate: boolean
}

const twins: Readonly<Record<string, string>> = {
  createMany: 'createManyAndReturn',
  updateMany: 'updateManyAndReturn',
}

const modelWrites = new Set([
  ...['create', 'createMany', 'createManyAndReturn', 'update', 'updateMany', 'updateManyAndReturn'],
  ...['upsert', 'delete', 'deleteMany'],
])

const rawQueries = new Set(['$executeRaw', '$executeRawUnsafe', '$queryRaw', '$queryRawUnsafe', '$queryRawTyped'])

/** Whether an operation may write at all. */
export function mayWrite(model: string | undefined, operation: string): boolean {
  return model === undefined ? rawQueries.has(operation) : modelWrites.has(operation)
}

/** Says of every operation what it takes to capture it. */
export class Planner {
  readonly #models: ReadonlyMap<string, Model>
  readonly #cascades: Cascades
  readonly #nested: NestedWrites
  readonly #mapped: readonly string[]
  readonly #deferrable: boolean
  readonly #writers: readonly string[]
  readonly #relations: ReadonlyMap<string, readonly string[]>

  constructor(client: PrismaInternals, tables: ClientTables) {
    this.#models = modelsOf(client, tables)
    this.#cascades = new Cascades(tables)
    this.#deferrable = tables.deferrable
    this.#writers = tables.writers
    this.#mapped = tables.tables.map((table) => table.source)
    const nested = { models: this.#models, cascades: this.#cascades, foreignKeys: tables.foreignKeys }
    this.#nested = new NestedWrites(nested)
    const relations = new Map<string, string[]>()
    for (const { schema, name } of tables.relations) {
      relations.set(name, [...(relations.get(name) ?? []), `${schema}.${name}`])
    }
    this.#relations = relations
  }

  /** The mapped tables. */
  get sources(): readonly string[] {
    return this.#mapped
  }

  /** `null` where nothing has to be captured. */
  operation(modelName: string, operation: string, args: unknown): Plan | null {
    const model = this.#models.get(modelName)
    if (model === undefined || !modelWrites.has(operation)) return null
    const given = (name: string): unknown => (args as Record<string, unknown> | undefined)?.[name]
    switch (operation) {
      case 'create':
      case 'createMany':
      case 'createManyAndReturn':
        return this.#written(model, operation, [given('data')], [])
      case 'upsert':
        return this.#written(model, operation, [given('create')], [given('update')])
      case 'update':
      case 'updateMany':
      case 'updateManyAndReturn':
        return this.#written(model, operation, [], [given('data')])
      default:
        return this.#deleted(model, operation)
    }
  }

  /** The same for SQL. */
  raw(sql: string): Plan | null {
    const writes = sqlCalls(sql, this.#writers) ? 'unknown' : sqlWrites(sql)
    const marks = new Set<string>()
    for (const write of writes === 'unknown' ? [] : writes) {
      for (const source of this.#rawTargets(write)) add(marks, this.#cascades.of(source, write.change))
      if (this.#rawTargets(write).length === 0) add(marks, this.#mapped)
    }
    if (writes === 'unknown') add(marks, this.#mapped)
    return this.#marking(marks, false)
  }

  #written(model: Model, operation: string, inserts: readonly unknown[], updates: readonly unknown[]): Plan | null {
    const inserted = this.#nested.of(model, ...inserts)
    const updated = this.#nested.of(model, ...updates)
    const marks = new Set([...inserted.marks, ...updated.marks])
    const update: Change = { kind: 'update', columns: [...updated.columns] }
    const nested = inserted.nested || updated.nested
    const { captured } = model
    if (captured === null) {
      if (inserts.length > 0) add(marks, this.#cascades.of(model.source, { kind: 'insert' }))
      if (updates.length > 0) add(marks, this.#cascades.of(model.source, update))
      return this.#marking(marks, nested)
    }
    add(marks, this.#cascades.beyond(model.source, update))
    const rekeyed = captured.table.tombstone && captured.table.keyColumns.some(({ name }) => updated.columns.has(name))
    if (captured.key === null || rekeyed) marks.add(captured.table.source)
    return this.#captured(model, operation, marks, nested)
  }

  #deleted(model: Model, operation: string): Plan | null {
    const change: Change = { kind: 'delete' }
    const byKey = operation === 'delete' && model.captured?.table.tombstone === true && model.captured.key !== null
    if (byKey) return this.#captured(model, operation, this.#cascades.beyond(model.source, change), false)
    return this.#marking(this.#cascades.of(model.source, change), false)
  }

  #captured(model: Model, operation: string, marks: Set<string>, nested: boolean): Plan | null {
    const source = model.captured?.table.source ?? model.source
    const fields = model.captured?.key ?? null
    if (fields === null) return this.#marking(marks, nested)
    return {
      keys: { model, source, fields },
      marks,
      twin: twins[operation] ?? null,
      immediate: this.#deferrable && !nested,
    }
  }

  #marking(marks: ReadonlySet<string>, nested: boolean): Plan | null {
    return marks.size === 0 ? null : { keys: null, marks, twin: null, immediate: this.#deferrable && !nested }
  }

  /** A name without a schema may be that of any table of this name; one that nobody knows gives none. */
  #rawTargets(write: SqlWrite): readonly string[] {
    const named = this.#relations.get(write.table) ?? []
    return write.schema === null ? named : named.filter((source) => source === `${write.schema}.${write.table}`)
  }
}

function add(marks: Set<string>, more: Iterable<string>): void {
  for (const source of more) marks.add(source)
}
