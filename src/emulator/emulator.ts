import type { Evaluate } from './evaluate.js'
import type { Fault, FaultHandle } from './faults.js'
import type { StoredObject } from './objects.js'
import type { StoredRequest } from './requests.js'
import type { CallName } from './route.js'
import type { ImportCounts, StoredDeletion } from './store.js'
import type { WebhookDelivery, WebhookOptions } from './webhooks.js'

export interface EmulatorOptions {
  /** Default: 0, any free port. */
  readonly port?: number
  /** Default: `127.0.0.1`. */
  readonly host?: string
  /** The key that is accepted. Default: `sk_emulator`. */
  readonly apiKey?: string
  /** Faults from the start; more with `emulator.faults.add`. */
  readonly faults?: readonly Fault[]
  /** Keep every version of every object, not only the latest. Default: `true`. */
  readonly keepHistory?: boolean
  /**
   * Keep the objects at all. Without, they are checked, counted and forgotten, for benchmarks: there are no results and no
   * webhooks. Default: `true`.
   */
  readonly keepObjects?: boolean
  /** The time from accepted to succeeded. Default: 20. */
  readonly processingMs?: number
  /** The time from a complete upload to succeeded, when its objects land. Default: `processingMs`. */
  readonly importProcessingMs?: number
  /**
   * What SafetyKit finds in an object; called once for each object of a request when that has been processed. Default: a
   * text field that holds "counterfeit" gets that label and the action "remove", "weapon" its label and "review", and
   * "[evaluation fails]" makes the evaluation fail. A request has failed where all its evaluations have.
   */
  readonly evaluate?: Evaluate
  /** Where to tell of evaluations. Default: nowhere. */
  readonly webhook?: WebhookOptions
  /** Larger bodies are refused with 413 (uploads are not limited). Default: 5 MiB. */
  readonly maxBodyBytes?: number
  /** How long upload and result URLs are valid. Default: 12 hours. */
  readonly uploadTtlMs?: number
}

export interface EmulatorStats {
  /** Requests by call, whatever came of them. */
  readonly calls: Readonly<Record<CallName, number>>
  /** Objects accepted, each version counted; those of an import once it has landed. */
  readonly acceptedObjects: number
  readonly imports: ImportCounts
  /** Accepted calls of `PUT …/settings`. */
  readonly settingsCalls: number
  /** Answers by status. */
  readonly statuses: Readonly<Record<number, number>>
}

/** A running emulator. What it gives are snapshots, but for `objects`, which is the live map. */
export interface Emulator {
  /** `http://127.0.0.1:1234`, the base URL of the API. */
  readonly url: string
  readonly apiKey: string
  /** Namespaces that hold an object or have settings. */
  namespaces(): string[]
  /** The latest state of every object. */
  objects(namespace: string): ReadonlyMap<string, StoredObject>
  object(namespace: string, id: string): StoredObject | undefined
  /** Every accepted version, oldest first; without `keepHistory` the latest alone. */
  history(namespace: string, id: string): readonly StoredObject[]
  requests(namespace?: string): StoredRequest[]
  /** The schema that was last put. */
  settings(namespace: string): Readonly<Record<string, unknown>> | undefined
  /** How many settings were accepted. */
  settingsCalls(): number
  deletionRequests(): readonly StoredDeletion[]
  readonly stats: EmulatorStats
  /**
   * Rules of an integration that were broken: an object in two requests in flight at once (from the headers to the answer
   * or the loss of the connection; not uploads, which land whenever they like), credentials sent to a pre-signed URL. Noted
   * up to 100 ms late. Ids, no values.
   */
  readonly violations: readonly string[]
  readonly faults: {
    /** Throws a `TypeError` that says what is wrong with the fault. */
    add(fault: Fault): FaultHandle
    clear(): void
  }
  readonly imports: {
    /** From now on no import lands by itself: it stays `ingesting`. */
    hold(): void
    /**
     * Makes an uploaded import land at once, while the others are held on. Without an id the hold ends, and all that wait
     * land at once, the oldest upload first. Answers with how many landed.
     */
    release(requestId?: string): number
    /** Makes the upload and result URLs that were given out so far expire: those of one request, or all. */
    expireUrls(requestId?: string): void
  }
  readonly webhooks: {
    /** Every event so far, in the order in which they arose. */
    deliveries(): WebhookDelivery[]
    /** Says where events go from now on; `null` is nowhere. Throws a `TypeError` that says what is wrong. */
    configure(webhook: WebhookOptions | null): void
    /** From now on no event is posted by itself. */
    hold(): void
    release(): void
    /**
     * Posts these events now, one after the other in this order: held ones, out of order, or delivered ones a second time.
     * Resolves when the last was answered. Rejects with a `TypeError` where one is not known.
     */
    deliver(...ids: string[]): Promise<void>
  }
  /** Forgets everything, switches all faults and holds off, and lets go of requests that hang. Where webhooks go is kept. */
  reset(): void
  /** Ends every connection at once. */
  close(): Promise<void>
}
