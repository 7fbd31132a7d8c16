import { SyncError } from '../../errors.js'

/**
 * What is used of Prisma's client beyond its documented surface. All of it is the same in 6.19 and 7.10; it is looked
 * for once, so that a version that lacks it is refused instead of losing writes.
 */
export interface PrismaInternals {
  readonly _originalClient: PrismaInternals
  readonly _runtimeDataModel: { readonly models: Readonly<Record<string, RuntimeModel>> }
  readonly _engine: Engine
  readonly _engineConfig: {
    readonly inlineSchema?: string
    readonly transactionOptions?: {
      readonly maxWait?: number
      readonly timeout?: number
      readonly isolationLevel?: string
    }
  }
  readonly _extensions: { getAllQueryCallbacks(model: string, operation: string): readonly unknown[] }
  readonly _globalOmit?: Readonly<Record<string, Readonly<Record<string, boolean>>>>
  readonly _requestHandler: { handleAndLogRequestError(params: object): never }
  _createItxClient(transaction: Transaction, scopeId: string, scopes: { readonly stack: string[] }): PrismaInternals
  _createPrismaPromise(callback: (transaction?: Transaction) => Promise<unknown>): PrismaPromise
  $transaction(input: unknown, options?: unknown): Promise<unknown>
  $executeRawUnsafe(sql: string, ...values: unknown[]): PrismaPromise
}

export interface RuntimeModel {
  readonly dbName?: string | null
  readonly schema?: string | null
  readonly fields: readonly RuntimeField[]
}

export interface RuntimeField {
  readonly name: string
  readonly kind: string
  readonly type: string
  readonly dbName?: string | null
}

interface Engine {
  transaction(action: 'start', headers: object, options: object): Promise<{ readonly id: string }>
  transaction(action: 'commit' | 'rollback', headers: object, info: object): Promise<unknown>
}

/** Prisma's handle of a running transaction: `itx` is an interactive one, `batch` one of `$transaction([…])`. */
export interface Transaction {
  readonly kind: string
  readonly id: unknown
}

/** Nothing runs before it is awaited, or told which transaction to run in. */
export interface PrismaPromise extends PromiseLike<unknown> {
  requestTransaction(transaction: Transaction): PromiseLike<unknown>
  /** What a model's method was called with; raw queries have none. */
  readonly spec?: { readonly model: string; readonly action: string; readonly args: unknown } | undefined
}

/** What a query hook is given. */
export interface Operation {
  readonly model?: string | undefined
  readonly operation: string
  readonly args: unknown
  query(args: unknown, params?: RequestParams): PrismaPromise
  readonly __internalParams: RequestParams
}

/** How an operation goes to the engine. `dataPath` leads to what a fluent call wants of the result. */
export interface RequestParams {
  args: unknown
  transaction?: Transaction | undefined
  readonly action: string
  readonly clientMethod: string
  readonly dataPath: readonly string[]
  readonly callsite?: unknown
  readonly argsMapper?: ((args: unknown) => unknown) | undefined
  readonly unpacker?: ((result: unknown) => unknown) | undefined
}

const used = ['_originalClient', '_runtimeDataModel', '_engine', '_engineConfig', '_extensions', '_requestHandler']
const called = ['_createItxClient', '_createPrismaPromise', '$transaction', '$executeRawUnsafe', '$queryRawUnsafe']

/** @throws SyncError `CONFIG_INVALID` when it is no Prisma client of a version that can be captured. */
export function prismaInternals(client: unknown): PrismaInternals {
  const found = client as Record<string, unknown> | null
  const fits =
    typeof found === 'object' &&
    found !== null &&
    used.every((name) => typeof found[name] === 'object' && found[name] !== null) &&
    called.every((name) => typeof found[name] === 'function')
  if (!fits) {
    throw new SyncError('CONFIG_INVALID', "capture: 'client' does not know this version of the Prisma client", {
      hint: "Use Prisma from 6.19 to 7.x, or capture: 'trigger'",
    })
  }
  return client as PrismaInternals
}

export function isPrismaPromise(value: unknown): value is PrismaPromise {
  return (
    typeof value === 'object' &&
    value !== null &&
    Reflect.get(value, Symbol.toStringTag) === 'PrismaPromise' &&
    typeof Reflect.get(value, 'requestTransaction') === 'function'
  )
}

/** The transaction that a client stands for: `tx` of `$transaction(async (tx) => …)`, and no other client. */
export function transactionOf(client: PrismaInternals): Transaction | undefined {
  let found: Transaction | undefined
  client
    ._createPrismaPromise((transaction) => {
      found = transaction
      return Promise.resolve()
    })
    .then(() => {})
  return found
}

/**
 * The client that a transaction hands out, for one that runs already. Prisma 7 keeps count of the savepoints by `scopes`.
 */
export function clientOf(transaction: Transaction, client: PrismaInternals): PrismaInternals {
  return client._createItxClient(transaction, 'joined', { stack: ['joined'] })
}
