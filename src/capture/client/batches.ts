import type { Planner } from './plan.js'
import type { PrismaPromise, Transaction } from './prisma-client.js'
import { sqlOf, templateSql } from './sql-of.js'
import { certainlyReads } from './sql-writes.js'
import type { TransactionOptions } from './transaction.js'
import type { WriteCapture } from './writes.js'

/** Runs `$transaction([…])`. */
export class BatchCapture {
  readonly #writes: WriteCapture
  readonly #raw = new WeakMap<PrismaPromise, readonly unknown[]>()

  constructor(writes: WriteCapture) {
    this.#writes = writes
  }

  /** Keeps what a raw query was called with: its template and values, or its text. */
  remember(promise: PrismaPromise, args: readonly unknown[]): void {
    this.#raw.set(promise, args)
  }

  /**
   * A batch in which nothing is captured stays a batch. Else its operations run one after another in an interactive
   * transaction, where their keys can be recorded.
   */
  async run(
    promises: readonly PrismaPromise[],
    options: TransactionOptions,
    asBatch: () => Promise<unknown>,
  ): Promise<unknown> {
    const { scope } = this.#writes
    if (scope !== undefined) return inOrder(promises, scope.transaction)
    if (promises.every((promise) => this.#readsOnly(promise))) return asBatch()
    const planner = await this.#writes.planner()
    if (planner === null) return this.#writes.uncaptured(asBatch)
    if (promises.every((promise) => !this.#captured(promise, planner))) return asBatch()
    // A batch of one has no transaction, and so none of their limits.
    const limits = promises.length > 1 ? this.#writes.transactionOptions : {}
    return this.#writes.transaction({ ...limits, ...options }, rethrow, async (transaction) => {
      const results = await this.#writes.joining(transaction, () => inOrder(promises, transaction))
      return { result: () => results, commit: true }
    })
  }

  #sql(promise: PrismaPromise): string | undefined {
    const args = this.#raw.get(promise)
    if (args === undefined) return undefined
    const [query, ...values] = args
    return Array.isArray(query) ? templateSql(query, values) : sqlOf(args)
  }

  #readsOnly(promise: PrismaPromise): boolean {
    const sql = this.#sql(promise)
    return sql !== undefined && certainlyReads(sql)
  }

  /** What another extension's hook has made of a query says nothing of itself, and is run as if it wrote. */
  #captured(promise: PrismaPromise, planner: Planner): boolean {
    const { spec } = promise
    if (spec !== undefined) return planner.operation(spec.model, spec.action, spec.args) !== null
    const sql = this.#sql(promise)
    return sql === undefined || planner.raw(sql) !== null
  }
}

async function inOrder(promises: readonly PrismaPromise[], transaction: Transaction): Promise<unknown[]> {
  const results: unknown[] = []
  for (const [index, promise] of promises.entries()) {
    try {
      results.push(await promise.requestTransaction(transaction))
    } catch (error) {
      // As the error of a batch has it.
      if (error instanceof Error && 'code' in error) Reflect.set(error, 'batchRequestIdx', index)
      throw error
    }
  }
  return results
}

function rethrow(error: unknown): never {
  throw error
}
