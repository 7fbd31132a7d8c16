import { BatchCapture } from './batches.js'
import { refuseEarlierHooks } from './order.js'
import { mayWrite } from './plan.js'
import {
  clientOf,
  isPrismaPromise,
  type Operation,
  type PrismaInternals,
  type PrismaPromise,
  prismaInternals,
  transactionOf,
} from './prisma-client.js'
import type { ClientTables } from './tables.js'
import { WriteCapture } from './writes.js'

export interface ClientCaptureOptions {
  /** The client that `$extends` was called on. */
  readonly parent: unknown
  /** The side tables' schema, unquoted. */
  readonly schema: string
  /**
   * Asked once, before the first write, and again after it has failed. It must not ask the captured client, whose only
   * connection may be waiting for the answer.
   */
  readonly tables: () => Promise<ClientTables>
  /** Writes fail where that fails, rather than go uncaptured. Default: `false`. */
  readonly strict?: boolean
  /** Writes go uncaptured, for this reason; the mapped tables are marked once it works. */
  readonly onMissed?: (error: Error) => void
  /** After a commit that captured something. */
  readonly onCommitted: () => void
}

/** The parts for `$extends`. */
export interface ClientCaptureParts {
  readonly query: { readonly $allOperations: (operation: Operation) => PromiseLike<unknown> }
  readonly client: Readonly<Record<string, (this: unknown, ...args: unknown[]) => unknown>>
}

/**
 * Captures the writes of a Prisma client: their keys go into `dirty` in the same transaction, and a write whose rows
 * cannot be told marks the tables that it may have changed.
 *
 * Writes run in an interactive transaction that is opened here, or in the one they are part of. Nested writes, cascades
 * and raw SQL are found from the arguments, the foreign keys and the text.
 * @throws SyncError `CONFIG_INVALID` when another extension would come before the capture and could bypass it.
 */
export function clientCapture(options: ClientCaptureOptions): ClientCaptureParts {
  const parent = prismaInternals(options.parent)
  refuseEarlierHooks(parent)
  const { strict = false, onMissed = () => {} } = options
  const writes = new WriteCapture({ ...options, strict, onMissed, parent })
  const batches = new BatchCapture(writes)
  return {
    query: {
      $allOperations: (operation) =>
        mayWrite(operation.model, operation.operation) ? writes.operation(operation) : operation.query(operation.args),
    },
    client: {
      $transaction(input, given) {
        const client = this as PrismaInternals
        if (typeof input === 'function') return interactive(client, parent, writes, input as Callback, given)
        const promises: readonly unknown[] = Array.isArray(input) ? input : []
        // What is no batch is refused in Prisma's words.
        if (!promises.every(isPrismaPromise) || promises.length === 0)
          return parent.$transaction.call(client, input, given)
        return batches.run(promises, given ?? {}, () => parent.$transaction.call(client, input, given))
      },
      ...rawMethods(parent, batches),
    },
  }
}

type Callback = (tx: unknown) => Promise<unknown>

/** Runs `$transaction(async (tx) => …)` on the very client it was called on, so that the hooks of `tx` are its own. */
async function interactive(
  client: PrismaInternals,
  parent: PrismaInternals,
  writes: WriteCapture,
  callback: Callback,
  options: unknown,
): Promise<unknown> {
  // A savepoint: what it captures is committed with the transaction around it, or rolled back with it.
  if (transactionOf(client) !== undefined) return parent.$transaction.call(client, callback, options)
  const { scope } = writes
  if (scope !== undefined) {
    const tx = clientOf(scope.transaction, client)
    // Prisma 6 knows no savepoints.
    return '$transaction' in tx ? parent.$transaction.call(tx, callback, {}) : callback(tx)
  }
  const commit = writes.watch()
  try {
    const watched = (tx: unknown): Promise<unknown> => {
      commit.of(transactionOf(tx as PrismaInternals))
      return callback(tx)
    }
    const result = await parent.$transaction.call(client, watched, options)
    commit.done()
    return result
  } finally {
    commit.forget()
  }
}

/** Raw queries do not say what they are once they are made: the batch has to know it before it runs them. */
function rawMethods(parent: PrismaInternals, batches: BatchCapture): ClientCaptureParts['client'] {
  const methods: Record<string, (this: unknown, ...args: unknown[]) => unknown> = {}
  for (const name of ['$executeRaw', '$executeRawUnsafe', '$queryRaw', '$queryRawUnsafe', '$queryRawTyped'] as const) {
    const original = Reflect.get(parent, name) as ((...args: unknown[]) => PrismaPromise) | undefined
    if (typeof original !== 'function') continue
    methods[name] = function (...args) {
      const promise = original.apply(this, args)
      batches.remember(promise, args)
      return promise
    }
  }
  return methods
}
