import { AsyncLocalStorage } from 'node:async_hooks'
import { DirtyEntries, type Entries, sqlState } from './dirty-entries.js'
import { KnownTables } from './known-tables.js'
import { takenAway } from './order.js'
import type { Plan, Planner } from './plan.js'
import { PlannedWrite } from './planned-write.js'
import type { Operation, PrismaInternals, Transaction } from './prisma-client.js'
import { sqlOf } from './sql-of.js'
import { certainlyReads } from './sql-writes.js'
import type { ClientTables } from './tables.js'
import { inTransaction, type Outcome, type TransactionOptions } from './transaction.js'

export interface WriteCaptureOptions {
  readonly parent: PrismaInternals
  readonly schema: string
  readonly tables: () => Promise<ClientTables>
  readonly strict: boolean
  readonly onMissed: (error: Error) => void
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
  /** Those in which something was not. */
  readonly #missedIn = new Set<unknown>()
  readonly #uncaptured = new AsyncLocalStorage<true>()
  readonly #known: KnownTables

  constructor(options: WriteCaptureOptions) {
    this.#options = options
    this.#known = new KnownTables({ ...options, mark: (sources) => this.#mark(sources) })
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
    if (this.#uncaptured.getStore()) return operation.query(operation.args)
    const { planner } = this.#known
    if (planner !== undefined) return this.#run(operation, planner)
    if (operation.model === undefined && readsOnly(operation.args)) return operation.query(operation.args)
    return this.#known.get().then((found) => (found === null ? this.#miss(operation) : this.#run(operation, found)))
  }

  /** What it takes to capture an operation; `null` where it has to go uncaptured. */
  planner(): Promise<Planner | null> {
    return this.#known.get()
  }

  /** Runs work whose operations are not captured. */
  async uncaptured<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await this.#uncaptured.run(true, work)
    } finally {
      this.#known.miss()
    }
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
        if (this.#missedIn.has(id)) this.#known.miss()
        if (this.#open.get(id) === true) this.#options.onCommitted()
      },
      forget: () => {
        this.#open.delete(id)
        this.#missedIn.delete(id)
      },
    }
  }

  #miss(operation: Operation): Promise<unknown> {
    const { transaction } = operation.__internalParams
    if (transaction !== undefined && this.#open.has(transaction.id)) this.#missedIn.add(transaction.id)
    return this.uncaptured(async () => operation.query(operation.args))
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

  async #alone(operation: Operation, plan: Plan): Promise<unknown> {
    try {
      return await this.#inOwnTransaction(operation, plan)
    } catch (error) {
      const { keys, marks } = plan
      if (keys === null || !lacksColumn(error)) throw error
      // A migration may have renamed the key, which only we have asked for.
      const unkeyed = { ...plan, keys: null, twin: null, marks: new Set([...marks, keys.source]) }
      return this.#inOwnTransaction(operation, unkeyed)
    }
  }

  #inOwnTransaction(operation: Operation, plan: Plan): Promise<unknown> {
    const { _requestHandler, _globalOmit } = this.#options.parent
    const { clientMethod, callsite } = operation.__internalParams
    const fail = (error: unknown): never => {
      const request = { error, args: operation.args, clientMethod, callsite, modelName: operation.model }
      return _requestHandler.handleAndLogRequestError({ ...request, globalOmit: _globalOmit })
    }
    const done = this.transaction({}, fail, async (transaction) => {
      if (plan.immediate) await this.#dirty.checkConstraintsAtOnce(transaction)
      return this.#within(operation, plan, transaction)
    })
    if (operation.model !== undefined) return done
    return done.catch((error: unknown) => {
      if (sqlState(error) !== invalidTransactionTermination) throw error
      return this.#afterwards(operation, plan)
    })
  }

  /** A procedure that commits cannot run in a transaction: its marks follow it, the one case where they are not atomic. */
  async #afterwards(operation: Operation, plan: Plan): Promise<unknown> {
    const result = await operation.query(operation.args)
    await this.#mark([...plan.marks])
    return result
  }

  #mark(sources: readonly string[]): Promise<void> {
    return this.transaction({}, rethrow, async (transaction) => {
      const marks = sources.map((source) => [source, null] as const)
      await this.#record(marks, transaction)
      return { result: () => {}, commit: true }
    })
  }

  async #record(entries: Entries, transaction: Transaction): Promise<void> {
    await this.#dirty.add(entries, transaction)
    if (this.#open.has(transaction.id)) this.#open.set(transaction.id, true)
  }

  async #within(operation: Operation, plan: Plan, transaction: Transaction): Promise<Outcome<unknown>> {
    const scope: Scope = { transaction, active: true, joined: [] }
    const write = new PlannedWrite(operation, plan, transaction)
    const result = await this.#scopes.run(scope, () => write.run())
    scope.active = false
    await Promise.all(scope.joined)
    const failed = 'error' in result
    if (failed && plan.keys !== null && lacksColumn(result.error)) this.#known.forget()
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
      await this.#record(entries, transaction)
    } catch (error) {
      if (failed) return { ...outcome, commit: false }
      throw error
    }
    return outcome
  }
}

const invalidTransactionTermination = '2D000'

function rethrow(error: unknown): never {
  throw error
}

/** A migration has been here. */
function lacksColumn(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'P2022'
}

function readsOnly(args: unknown): boolean {
  return certainlyReads(sqlOf(args))
}
