import type { Cascades, Change } from './cascades.js'
import type { Model } from './models.js'
import type { ForeignKey } from './tables.js'

export interface NestedWritesOptions {
  readonly models: ReadonlyMap<string, Model>
  readonly cascades: Cascades
  readonly foreignKeys: readonly ForeignKey[]
}

/** What `data` does beside the row that it stands for. */
export interface DataEffects {
  /** The mapped tables of which other rows may be written. */
  readonly marks: Set<string>
  /** The row's own columns that are set, those of foreign keys included. */
  readonly columns: Set<string>
  /** Whether it holds relations: then it takes several statements. */
  nested: boolean
}

/** What leaves the foreign keys of rows that are there alone. */
const writesOnly = new Set(['create', 'createMany', 'update', 'updateMany', 'upsert', 'delete', 'deleteMany'])

/** Finds what `data` of a write reaches through relation fields, at any depth. */
export class NestedWrites {
  readonly #models: ReadonlyMap<string, Model>
  readonly #cascades: Cascades
  readonly #foreignKeys: readonly ForeignKey[]

  constructor(options: NestedWritesOptions) {
    this.#models = options.models
    this.#cascades = options.cascades
    this.#foreignKeys = options.foreignKeys
  }

  of(model: Model, ...all: readonly unknown[]): DataEffects {
    const effects: DataEffects = { marks: new Set(), columns: new Set(), nested: false }
    for (const data of all.flatMap(list)) this.#data(model, data, effects)
    return effects
  }

  #data(model: Model, data: unknown, effects: DataEffects): void {
    if (!isObject(data)) return
    for (const [name, value] of Object.entries(data)) {
      const field = model.fields.get(name)
      if (field === undefined || value === undefined) continue
      const related = field.kind === 'object' ? this.#models.get(field.type) : undefined
      if (field.kind !== 'object') effects.columns.add(field.column)
      else if (related !== undefined && isObject(value)) this.#relation(model, related, value, effects)
    }
  }

  #relation(model: Model, related: Model, operations: object, effects: DataEffects): void {
    effects.nested = true
    for (const [operation, given] of Object.entries(operations)) {
      if (given === undefined || given === false) continue
      this.#link(model, related, operation, effects)
      for (const args of list(given)) this.#operation(related, operation, args, effects.marks)
    }
  }

  #operation(related: Model, operation: string, args: unknown, marks: Set<string>): void {
    const given = (name: string): unknown => (isObject(args) ? Reflect.get(args, name) : undefined)
    const insert = (data: unknown): void => this.#write(related, { kind: 'insert' }, data, marks)
    const update = (data: unknown): void => this.#write(related, { kind: 'update', columns: [] }, data, marks)
    switch (operation) {
      case 'create':
        insert(args)
        break
      case 'createMany':
        insert(given('data'))
        break
      case 'connectOrCreate':
        insert(given('create'))
        break
      case 'update':
        // A to-one relation also takes the data itself, where a field may be called `data` as well.
        update(args)
        update(given('data'))
        break
      case 'updateMany':
        update(given('data'))
        break
      case 'upsert':
        insert(given('create'))
        update(given('update'))
        break
      case 'delete':
      case 'deleteMany':
        this.#mark(related, { kind: 'delete' }, marks)
        break
      case 'connect':
      case 'disconnect':
      case 'set':
        break
      default:
        // An operation that this version does not know.
        this.#mark(related, { kind: 'update', columns: null }, marks)
    }
  }

  #write(model: Model, change: Change, data: unknown, marks: Set<string>): void {
    const below = this.of(model, data)
    for (const source of below.marks) marks.add(source)
    this.#mark(model, change.kind === 'update' ? { kind: 'update', columns: [...below.columns] } : change, marks)
  }

  /** Connecting sets a foreign key: of the related row, of this one, or (one to one) of the row that had the place. */
  #link(model: Model, related: Model, operation: string, effects: DataEffects): void {
    const connects = !writesOnly.has(operation)
    let linked = false
    for (const key of this.#foreignKeys) {
      const change: Change = { kind: 'update', columns: key.childColumns }
      if (key.child === related.source && key.parent === model.source) {
        linked = true
        if (connects || key.childUnique) this.#mark(related, change, effects.marks)
      }
      if (key.child === model.source && key.parent === related.source) {
        linked = true
        for (const column of key.childColumns) effects.columns.add(column)
        if (connects && key.childUnique) this.#mark(model, change, effects.marks)
      }
    }
    if (!connects || linked || this.#joined(model, related)) return
    // Prisma emulates the relation (`relationMode = "prisma"`), and nothing says whose row has the key.
    for (const end of [model, related]) this.#mark(end, { kind: 'update', columns: null }, effects.marks)
  }

  /** Many to many: the keys are in a table of their own. */
  #joined(model: Model, related: Model): boolean {
    const tables = (parent: Model): string[] =>
      this.#foreignKeys.filter((key) => key.parent === parent.source).map((key) => key.child)
    const others = tables(related)
    return tables(model).some((table) => others.includes(table))
  }

  #mark(model: Model, change: Change, marks: Set<string>): void {
    for (const source of this.#cascades.of(model.source, change)) marks.add(source)
  }
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
