import type { EvaluationOutput } from '../evaluation.js'
import type { SyncEvents } from '../events.js'
import type { RetryBounds, RetryFilter, RetryReport } from '../operate/retry-report.js'

/**
 * Which row: the value of the column that its id is made of, or these values by field (the row itself will do). An id of
 * several columns can be given as the text that they are joined to. Without the mapping's `prefix`.
 */
export type RowId<Asked> = string | number | bigint | (Asked extends { readonly key: infer Key } ? Key : never)

type WhereOf<Asked> = Asked extends { readonly where: infer Where } ? Where : never
type ModelName<Known> = Extract<keyof Known, string>

/** For a model that goes into several namespaces. */
export interface NamespaceOption {
  /** Default: the first that the model is mapped to. */
  readonly namespace?: string
}

/** `prisma.$safetykit`: what SafetyKit knows of the application's rows. */
export interface SafetyKit<Known> {
  /**
   * What SafetyKit has of a row, as the ledger says; `null` where it has nothing of it.
   *
   * @example
   * ```ts
   * const status = await prisma.$safetykit.status('Product', product.id)
   * if (status?.state === 'accepted') console.log(status.requestId)
   * ```
   * @throws SyncError `ARGUMENT_INVALID` where the id is none of this model.
   */
  status<Name extends ModelName<Known>>(
    model: Name,
    id: RowId<Known[Name]>,
    options?: NamespaceOption,
  ): Promise<ObjectStatus | null>
  /** The same for many rows in one query, in the order of the ids. */
  statuses<Name extends ModelName<Known>>(
    model: Name,
    ids: readonly RowId<Known[Name]>[],
    options?: NamespaceOption,
  ): Promise<(ObjectStatus | null)[]>
  /** The requests that a row was sent in, the newest first. */
  requests<Name extends ModelName<Known>>(
    model: Name,
    id: RowId<Known[Name]>,
    options?: RequestsOptions,
  ): Promise<ObjectRequest[]>
  /**
   * Sends rows once more, whatever SafetyKit has of them: forces a new evaluation. The rows are looked up through the
   * client that was extended, a thousand at a time; they are sent in the background, see {@link SafetyKit.flush}.
   *
   * @example
   * ```ts
   * await prisma.$safetykit.resend('Product', { sellerId: 7, status: 'ACTIVE' })
   * ```
   * @param where Prisma's own `where` of the model; `{}` is every row.
   * @returns how many rows were marked.
   */
  resend<Name extends ModelName<Known>>(model: Name, where: WhereOf<Known[Name]>): Promise<number>
  /**
   * Has refused objects sent again, parked and dead ones, as `safetykit-sync retry` does: those that fit all that is said, or
   * with `{}` all. They are sent in the background, as their rows are then, see {@link SafetyKit.flush}.
   *
   * @example
   * ```ts
   * const { objects } = await prisma.$safetykit.retry({ state: 'dead', namespaces: ['products'] })
   * ```
   * @returns how many of which namespace and code.
   */
  retry(which: RetryFilter & RetryBounds): Promise<RetryReport>
  /**
   * Resolves when every write that was committed before the call is settled: accepted, or parked. For scripts, and for
   * functions that are frozen after their answer. A write that is not committed yet (inside a transaction) is not waited for.
   *
   * @throws SyncError where the worker of this process cannot start and something waits for it.
   */
  flush(options?: FlushOptions): Promise<Flushed>
  /**
   * Listens to the worker of this process. With `deliver: 'sidecar'` another process delivers, and only `error` is told.
   * @returns what takes the listener off again.
   */
  on<Event extends keyof SyncEvents>(event: Event, listener: (facts: SyncEvents[Event]) => void): () => void
}

/** What the ledger says of an object. */
export interface ObjectStatus {
  readonly namespace: string
  readonly objectId: string
  /** `parked`: refused, and tried again later. `dead`: refused for good. */
  readonly state: 'accepted' | 'parked' | 'dead'
  /** The request that it was last accepted under; `null` where it never was. */
  readonly requestId: string | null
  readonly acceptedAt: Date | null
  /** What SafetyKit said of it; `null` where nothing is known yet. */
  readonly evaluation: ObjectEvaluation | null
  /** Why it was refused; `null` where it is accepted. */
  readonly error: ObjectError | null
}

export interface ObjectEvaluation {
  /** `failed`: SafetyKit could not evaluate it. */
  readonly status: 'succeeded' | 'failed'
  /** The request that it is of; where that is not the object's, its newest content is not evaluated yet. */
  readonly requestId: string | null
  /** As SafetyKit gave it; `null` where it failed. */
  readonly output: EvaluationOutput | null
  /** Where a person can look at it. */
  readonly url: string | null
  readonly evaluatedAt: Date | null
}

export interface ObjectError {
  readonly code: string
  /** Of the HTTP answer; `null` where there was none. */
  readonly status: number | null
  readonly message: string
  readonly hint: string | null
  readonly at: Date | null
}

export interface RequestsOptions extends NamespaceOption {
  /** Default: 20. */
  readonly limit?: number
}

/** One request that held the object. */
export interface ObjectRequest {
  readonly requestId: string
  readonly namespace: string
  readonly objectId: string
  readonly submittedAt: Date
  readonly kind: 'add' | 'import'
  /** Of the whole request. */
  readonly status: string
  readonly objectCount: number
  readonly createdAt: Date
  readonly updatedAt: Date
}

export interface FlushOptions {
  /** Default: 30,000. */
  readonly timeoutMs?: number
}

/** What became of the keys that waited when `flush` was called; what was settled before is not counted. */
export interface Flushed {
  /** Whether nothing of it waits any more. */
  readonly settled: boolean
  /** Objects that SafetyKit has as their rows are. */
  readonly accepted: number
  readonly parked: number
  readonly dead: number
  /** Objects that SafetyKit has nothing of: their rows are deleted, or excluded by `where`. */
  readonly absent: number
  /** Keys and marks that still wait; above 0 only after the time is up. */
  readonly waiting: number
  /** Those that were refused. At most the first 10,000 objects are looked up and counted. */
  readonly refused: readonly RefusedObject[]
}

export interface RefusedObject {
  readonly namespace: string
  readonly objectId: string
  readonly state: 'parked' | 'dead'
  readonly error: ObjectError | null
}
