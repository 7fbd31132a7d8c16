import type { PrismaInternals, Transaction } from './prisma-client.js'

/**
 * A write that runs in a transaction only because of us may wait and take as long as it could without us: 24 hours. No
 * timer of Node's can be much longer.
 */
const patienceMs = 86_400_000

export interface TransactionOptions {
  readonly maxWait?: number | undefined
  readonly timeout?: number | undefined
  readonly isolationLevel?: string | undefined
}

export interface Outcome<Result> {
  /** Gives the result, or throws what the operation failed with. */
  readonly result: () => Result
  readonly commit: boolean
}

/**
 * Runs work in an interactive transaction. It asks the engine itself: `$transaction` would build a client nobody uses
 * (40 µs) and force the isolation level that the application chose for transactions on its single writes.
 * Errors of the transaction itself go through `fail`, which may throw them in Prisma's words.
 */
export async function inTransaction<Result>(
  client: PrismaInternals,
  options: TransactionOptions,
  fail: (error: unknown) => never,
  work: (transaction: Transaction) => Promise<Outcome<Result>>,
): Promise<Outcome<Result>> {
  const engine = client._engine
  const headers = {}
  const { maxWait = patienceMs, timeout = patienceMs, isolationLevel } = options
  const info = await engine.transaction('start', headers, { maxWait, timeout, isolationLevel }).catch(fail)
  const rollback = async (): Promise<void> => {
    await engine.transaction('rollback', headers, info).catch(() => {})
  }
  let outcome: Outcome<Result>
  try {
    outcome = await work({ kind: 'itx', ...info })
  } catch (error) {
    await rollback()
    throw error
  }
  if (!outcome.commit) {
    await rollback()
    return outcome
  }
  await engine.transaction('commit', headers, info).catch(async (error: unknown) => {
    await rollback()
    return fail(error)
  })
  return outcome
}
