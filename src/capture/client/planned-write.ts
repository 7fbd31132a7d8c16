import type { Entries, EntryKey } from './dirty-entries.js'
import { takenAway } from './order.js'
import type { Plan } from './plan.js'
import type { Operation, RequestParams, Transaction } from './prisma-client.js'
import { type Selection, selectKeys } from './selection.js'

/** They answer how many rows they wrote, where they were not made their `…AndReturn` twin. */
const counting = new Set(['createMany', 'updateMany', 'deleteMany'])

/** What came of an operation. */
export type Result = { readonly value: unknown } | { readonly error: unknown }

/** One operation, run so that the keys of its rows are seen. */
export class PlannedWrite {
  readonly #operation: Operation
  readonly #plan: Plan
  readonly #transaction: Transaction
  readonly #keys: EntryKey[] = []
  #unkeyed = false
  #changed = 0
  executed = false

  constructor(operation: Operation, plan: Plan, transaction: Transaction) {
    this.#operation = operation
    this.#plan = plan
    this.#transaction = transaction
  }

  async run(): Promise<Result> {
    const { keys, twin } = this.#plan
    const selection = keys === null ? null : selectKeys(keys, twin, this.#operation.__internalParams.dataPath)
    const first = await this.#send(selection)
    // The message of a refused argument shows the arguments: those that the caller wrote.
    const refused = 'error' in first && selection !== null && !this.executed && isValidation(first.error)
    return refused ? this.#send(null) : first
  }

  /** What goes into `dirty`. `joined`: hooks of other extensions have written, and that was captured by itself. */
  entries(joined: boolean): Entries {
    const entries: [string, readonly EntryKey[] | null][] = []
    const { keys, marks } = this.#plan
    // Neither here nor through the captured client: then it was written elsewhere, if at all.
    const unseen = !this.executed && !joined
    const whole = new Set(unseen || this.#changed > 0 ? marks : [])
    if (keys !== null && (this.#unkeyed || unseen)) whole.add(keys.source)
    for (const source of whole) entries.push([source, null])
    if (keys !== null && this.#keys.length > 0) entries.push([keys.source, this.#keys])
    return entries
  }

  async #send(selection: Selection | null): Promise<Result> {
    const { args, query, __internalParams: given } = this.#operation
    const params: RequestParams = {
      ...given,
      ...(selection === null ? {} : { argsMapper: selection.send, dataPath: [] }),
      ...(selection !== null && this.#plan.twin !== null ? { action: this.#plan.twin } : {}),
      unpacker: (result) => this.#take(result, selection),
    }
    this.#hold(params, given.clientMethod)
    try {
      return { value: await query(args, params).requestTransaction(this.#transaction) }
    } catch (error) {
      return { error }
    } finally {
      // Other extensions may have changed them; Prisma looks at them once more when it computes fields.
      given.args = params.args
    }
  }

  /** Nobody else may take the write into another transaction: this is noticed before it runs. */
  #hold(params: RequestParams, clientMethod: string): void {
    const transaction = this.#transaction
    Object.defineProperty(params, 'transaction', {
      enumerable: true,
      configurable: true,
      get: () => transaction,
      set: (other: Transaction) => {
        if (other.id !== transaction.id) throw takenAway(clientMethod)
      },
    })
  }

  /** Sees the engine's result before anyone else does. */
  #take(result: unknown, selection: Selection | null): unknown {
    this.executed = true
    const count = typeof result === 'object' && result !== null ? Reflect.get(result, 'count') : undefined
    const rows: readonly unknown[] = Array.isArray(result) ? result : [result]
    const raw = this.#operation.model === undefined
    this.#changed += raw
      ? 1
      : counting.has(this.#operation.operation) && typeof count === 'number'
        ? count
        : rows.length
    if (selection === null) {
      if (this.#plan.keys !== null) this.#unkeyed = true
      return result
    }
    for (const row of rows) {
      const key = this.#keyOf(row)
      if (key === null) this.#unkeyed = true
      else this.#keys.push(key)
    }
    return selection.give(result)
  }

  #keyOf(row: unknown): EntryKey | null {
    if (typeof row !== 'object' || row === null) return null
    const key: Record<string, string | null> = {}
    for (const { field, column, toText } of this.#plan.keys?.fields ?? []) {
      const value: unknown = Reflect.get(row, field)
      const text = value === null ? null : toText(value)
      if (text === undefined) return null
      key[column] = text
    }
    return key
  }
}

function isValidation(error: unknown): boolean {
  return error instanceof Error && error.name === 'PrismaClientValidationError'
}
