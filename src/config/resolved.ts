import type { Evaluation } from '../evaluation.js'

/** A JSON value, as it is sent. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** The mapped row as `where` and `computed` see it: the user's names for the fields, values as they are sent. */
export type MappedRow = Readonly<Record<string, Json>>

/** One field of a namespace's schema, in the API's own words: the body of `PUT …/settings`. */
export interface FieldSettings {
  readonly content_type?: string
  readonly display_hint?: { readonly type: string; readonly [option: string]: Json }
  readonly field_limit?: number
  readonly namespace_ref?: string
  readonly [setting: string]: Json | undefined
}

/** A column that is sent. */
export interface Field {
  /** The column, as the catalogue spells it. */
  readonly column: string
  /** The user's name for it: the model's field, or the column. `where` and `computed` see the row under these names. */
  readonly property: string
  /** The name under which it is sent. */
  readonly as: string
  readonly settings: FieldSettings
}

/** A field that is computed from the mapped row. */
export interface ComputedField {
  readonly as: string
  readonly settings: FieldSettings
  readonly value: (row: MappedRow) => unknown
}

/** How an object's id is made: the columns' texts, joined. */
export interface IdRule {
  /** Columns as the catalogue spells them; `null` is the primary key, in the key's order. */
  readonly columns: readonly string[] | null
  /** Default: `':'`. */
  readonly join: string
  /** Put before the id, so that two tables can share a namespace. Default: `''`. */
  readonly prefix: string
}

/** One table into one namespace. A model with several namespaces has several mappings. */
export interface Mapping {
  /** Where it stands in the user's file, for messages: `models.Product`, `tables["public.products"][1]`. */
  readonly path: string
  /** `schema: null` is the schema of the database URL (`?schema=`), else `public`. */
  readonly table: { readonly schema: string | null; readonly name: string }
  readonly namespace: string
  readonly id: IdRule
  readonly fields: readonly Field[]
  readonly computed: readonly ComputedField[]
  readonly where: ((row: MappedRow) => boolean) | null
  readonly onDelete: 'ignore' | 'tombstone'
  /** Whether each committed version of a row is sent, or the newest when it is its turn. Default: `'latest'`. */
  readonly deliver: 'latest' | 'every'
}

/** The configuration with every name resolved and every default filled in; what all rooms work with. */
export interface ResolvedSync {
  readonly capture: 'trigger' | 'client' | 'replication'
  readonly deliver: 'inline' | 'sidecar'
  /** Whether the client's operations are refused while what is installed does not fit. Default: `false`. */
  readonly strict: boolean
  readonly mappings: readonly Mapping[]
  /** The schema of the side tables. Default: `safetykit`. */
  readonly schema: string
  /** The side tables' database, where it is not the source's. */
  readonly ledgerUrl: string | null
  readonly publication: {
    /** Default: `safetykit`. */
    readonly name: string
    /** `'mapped'` keeps all other columns inside the database, and stands in the way of migrations. Default: `'all'`. */
    readonly columns: 'all' | 'mapped'
  }
  readonly slot: {
    /** The replication slot's name. Default: `safetykit`. */
    readonly name: string
    /** Whether a slot that is missing, invalidated or replaced is made anew, and all tables are scanned. Default: `'recreate'`. */
    readonly onLost: 'recreate' | 'stop'
  }
  readonly spill: SpillSettings
  readonly heartbeat: HeartbeatSettings
  readonly delivery: DeliverySettings
  readonly parking: ParkingSettings
  /** Bytes of changes held in memory before the stream is paused. Default: 8 MiB. */
  readonly maxPendingBytes: number
  readonly import: ImportSettings
  /** Tables are scanned for what was missed so often; `everyMs: null`: only when something is known to be missed. */
  readonly scan: { readonly everyMs: number | null }
  /**
   * How the evaluations come back: asked for, sent by webhooks (and asked for only where none came), or not at all.
   * Default: `'poll'`.
   */
  readonly results: 'poll' | 'webhook' | 'off'
  /**
   * Called with each evaluation before it is recorded, at least once: a process that dies in between, or a function that
   * throws, has it called again. An evaluation that comes once that of a newer request is there is left out; one that comes
   * before it is told, though the object has been sent anew since.
   */
  readonly onResult: ((evaluation: Evaluation) => unknown) | null
}

/** When a backfill sends files rather than requests, and how large they are. */
export interface ImportSettings {
  /** With fewer objects to send in a table, they go as ongoing changes do. Default: 5,000. */
  readonly minObjects: number
  /** Bytes of a file at most. Default: 64 MiB. */
  readonly maxPartBytes: number
  /** Objects of a file at most. Default: 250,000. */
  readonly maxPartObjects: number
  /**
   * Where files stand until they are uploaded and recorded: about three times `maxPartBytes`, readable by this user alone.
   * `null` is a folder in the system's one for temporary files.
   */
  readonly spoolDirectory: string | null
}

/** When changes that cannot be delivered are kept as keys in `dirty`, so that the server need not keep their WAL. */
export interface SpillSettings {
  /** For so long nothing was settled although something waits. Default: 60,000. */
  readonly afterMs: number
  /** WAL that the slot may hold back; less where half of what the server still grants it is less. Default: 1 GiB. */
  readonly lagBytes: number
}

/** A message in the WAL that the listener has to see again, so that a stream that hangs is noticed. */
export interface HeartbeatSettings {
  /** Between two of them; `null`: none. Default: 15,000. */
  readonly everyMs: number | null
  /** A stream that has not brought one within this, and nothing else, is taken for dead. Default: 30,000. */
  readonly deadlineMs: number
}

export interface DeliverySettings {
  /** Objects a request. Default: 100. */
  readonly maxBatchObjects: number
  /** Bytes of a request's body. Default: 1 MiB. */
  readonly maxBatchBytes: number
  /** How long an object may wait for others. Default: 25. */
  readonly maxBatchAgeMs: number
  /** Requests in flight at most; falls on 429 and recovers. Default: 16. */
  readonly maxConcurrency: number
  /** The time until an answer has to be there. Default: 30,000. */
  readonly requestTimeoutMs: number
  /** The first retry waits a random time up to this. Default: 250. */
  readonly retryBaseMs: number
  /** No retry waits longer than this, but for `Retry-After`. Default: 30,000. */
  readonly retryMaxMs: number
}

/** When an object that the API refuses is tried again. */
export interface ParkingSettings {
  /** The wait before each attempt after the first; when they are used up, the object is `dead`. */
  readonly retryAfterMs: readonly number[]
}
