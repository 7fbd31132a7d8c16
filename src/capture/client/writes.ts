import { AsyncLocalStorage } from 'node:async_hooks'
import { DirtyEntries, type Entries, type EntryKey } from './dirty-entries.js'
import { takenAway } from './order.js'
import { type Plan, Planner } from './plan.js'
import type { Operation, PrismaInternals, RequestParams, Transaction } from './prisma-client.js'
import { type Selection, selectKeys } from './selection.js'
import { sqlOf } from './sql-of.js'
import { certainlyReads } from './sql-writes.js'
import type { ClientTables } from './tables.js'
import { inTransaction, type Outcome, type TransactionOptions } from './transaction.js'

export interface WriteCaptureOptions {
  readonly parent: PrismaInternals
  readonly schema: string
  readonly tables: () => Promise<ClientTables>
  readonly onCommitted: () => void
}

/**
 * The transaction in which a write is running. What hooks of later extensions do meanwhile, through the captured
 * client, joins it: on a connection of their own they could wait for this one for ever.
 */
export interface Scope {
  readonly transaction: Transaction
  active: boolean
  readonly joined: Promise<unknown>[]
}

/** Told of a transaction's end. */
export interface Watch {
  of(transaction: Transaction | undefined): void
  /** It was committed. */
  done(): void
  forget(): void
}

/** Runs writes so that what they change is in `dirty`, in the same transaction. */
export class WriteCapture {
  readonly #options: WriteCaptureOptions
  readonly #dirty: DirtyEntries
  readonly #scopes = new AsyncLocalStorage<Scope>()
  /** The transactions under way that {@link watch} was asked for, and whether something was captured in them. */
  readonly #open = new Map<unknown, boolean>()
  #planner: Planner | undefined
  #loading: Promise<Planner> | undefined

  constructor(options: WriteCaptureOptions) {
    this.#options = options
    this.#dirty = new DirtyEntries(options.parent, options.schema)
  }

  /** The scope in which the caller runs, while its write is under way. */
  get scope(): Scope | undefined {
    const scope = this.#scopes.getStore()
    return scope?.active ? scope : undefined
  }

  /** What the application has chosen for its transactions. */
  get transactionOptions(): TransactionOptions {
    return this.#options.parent._engineConfig.transactionOptions ?? {}
  }

  /** Runs work so that what it does through the captured client joins a transaction. */
  async joining<Result>(transaction: Transaction, work: () => Promise<Result>): Promise<Result> {
    const scope: Scope = { transaction, active: true, joined: [] }
    try {
      return await this.#scopes.run(scope, work)
    } finally {
      scope.active = false
      await Promise.all(scope.joined)
    }
  }

  /** A query hook's work for an operation that may write. */
  operation(operation: Operation): PromiseLike<unknown> {
    if (this.#planner !== undefined) return this.#run(operation, this.#planner)
    if (operation.model === undefined && readsOnly(operation.args)) return operation.query(operation.args)
    return this.planner().then((planner) => this.#run(operation, planner))
  }

  /** What it takes to capture an operation; its tables are asked for the first time. */
  planner(): Promise<Planner> {
    this.#loading ??= this.#options.tables().then(
      (tables) => {
        this.#planner = new Planner(this.#options.parent, tables)
        return this.#planner
      },
      (error) => {
        this.#loading = undefined
        throw error
      },
    )
    return this.#loading
  }

  /** Runs work in a transaction of its own, and says so when something was captured in it. */
  async transaction<Result>(
    options: TransactionOptions,
    fail: (error: unknown) => never,
    work: (transaction: Transaction) => Promise<Outcome<Result>>,
  ): Promise<Result> {
    const watch = this.watch()
    const watched = (transaction: Transaction): Promise<Outcome<Result>> => {
      watch.of(transaction)
      return work(transaction)
    }
    try {
      const outcome = await inTransaction(this.#options.parent, options, fail, watched)
      if (outcome.commit) watch.done()
      return outcome.result()
    } finally {
      watch.forget()
    }
  }

  watch(): Watch {
    let id: unknown
    return {
      of: (transaction) => {
        id = transaction?.id
        if (id !== undefined) this.#open.set(id, false)
      },
      done: () => {
        if (this.#open.get(id) === true) this.#options.onCommitted()
      },
      forget: () => {
        this.#open.delete(id)
      },
    }
  }

  #run(operation: Operation, planner: Planner): PromiseLike<unknown> {
    const { model } = operation
    const plan =
      model === undefined
        ? planner.raw(sqlOf(operation.args))
        : planner.operation(model, operation.operation, operation.args)
    if (plan === null) return operation.query(operation.args)
    const params = operation.__internalParams
    if (params.transaction?.kind === 'batch') return Promise.reject(takenAway(params.clientMethod))
    const { scope } = this
    const around = params.transaction ?? scope?.transaction
    if (around === undefined) return this.#alone(operation, plan)
    const outcome = this.#within(operation, plan, around)
    scope?.joined.push(outcome.catch(() => {}))
    return outcome.then(({ result }) => result())
  }

  #alone(operation: Operation, plan: Plan): Promise<unknown> {
    const { _requestHandler, _globalOmit } = this.#options.parent
    const { clientMethod, callsite } = operation.__internalParams
    const fail = (error: unknown): never => {
      const request = { error, args: operation.args, clientMethod, callsite, modelName: operation.model }
      return _requestHandler.handleAndLogRequestError({ ...request, globalOmit: _globalOmit })
    }
    return this.transaction({}, fail, async (transaction) => {
      if (plan.immediate) await this.#dirty.checkConstraintsAtOnce(transaction)
      return this.#within(operation, plan, transaction)
    })
  }

  async #within(operation: Operation, plan: Plan, transaction: Transaction): Promise<Outcome<unknown>> {
    const scope: Scope = { transaction, active: true, joined: [] }
    const write = new PlannedWrite(operation, plan, transaction)
    const result = await this.#scopes.run(scope, () => write.run())
    scope.active = false
    await Promise.all(scope.joined)
    const failed = 'error' in result
    const outcome: Outcome<unknown> = {
      result: () => {
        if ('error' in result) throw result.error
        return result.value
      },
      // What was written stays written when a hook fails after it, as it would without us.
      commit: !failed || write.executed,
    }
    if (!outcome.commit) return outcome
    const entries = write.entries(scope.joined.length > 0)
    if (entries.length === 0) return outcome
    try {
      await this.#dirty.add(entries, transaction)
    } catch (error) {
      if (failed) return { ...outcome, commit: false }
      throw error
    }
    if (this.#open.has(transaction.id)) this.#open.set(transaction.id, true)
    return outcome
  }
}

type Result = { readonly value: unknown } | { readonly error: unknown }

/** One operation, run so that the keys of its rows are seen. */
class PlannedWrite {
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
      : this.#operation.operation === 'deleteMany' && typeof count === 'number'
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

function readsOnly(args: unknown): boolean {
  return certainlyReads(sqlOf(args))
}
