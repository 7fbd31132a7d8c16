import type { Fault, FaultHandle } from './faults.js'
import type { CallName } from './route.js'
import type { StoredDeletion, StoredObject, StoredRequest } from './store.js'

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
  /** Keep the objects at all. Without, they are checked, counted and forgotten, for benchmarks. Default: `true`. */
  readonly keepObjects?: boolean
  /** The time from accepted to succeeded. Default: 20. */
  readonly processingMs?: number
  /** Larger bodies are refused with 413 (uploads are not limited). Default: 5 MiB. */
  readonly maxBodyBytes?: number
  /** How long upload and result URLs are valid. Default: 12 hours. */
  readonly uploadTtlMs?: number
}

export interface EmulatorStats {
  /** Requests by call, whatever came of them. */
  readonly calls: Readonly<Record<CallName, number>>
  /** Objects accepted, each version counted. */
  readonly acceptedObjects: number
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
   * or the loss of the connection), credentials sent to a pre-signed URL. Noted up to 100 ms late. Ids, no values.
   */
  readonly violations: readonly string[]
  readonly faults: {
    /** Throws a `TypeError` that says what is wrong with the fault. */
    add(fault: Fault): FaultHandle
    clear(): void
  }
  /** Forgets everything, switches all faults off, and lets go of requests that hang. */
  reset(): void
  /** Ends every connection at once. */
  close(): Promise<void>
}
