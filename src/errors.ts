/**
 * Every way this package can fail, as a code to branch on. The text of a message may change; a code does not.
 *
 * | code | what it means, and what follows |
 * |---|---|
 * | `CONFIG_INVALID` | The configuration has mistakes; `mistakes` lists all of them. Nothing was started. |
 * | `CONFIG_NOT_FOUND` | No configuration file was found, or it does not export a sync. |
 * | `SETTING_MISSING` | A needed setting (database URL, API key) is not set anywhere. |
 * | `DATABASE_UNREACHABLE` | Postgres cannot be reached or refuses the login. |
 * | `DATABASE_UNFIT` | Postgres is reached but cannot serve: `wal_level`, a missing right, a full set of slots. |
 * | `SLOT_MISSING` | The replication slot does not exist: run `safetykit-sync migrate`. |
 * | `SLOT_IN_USE` | Another process reads from the slot. |
 * | `SLOT_LOST` | The server has invalidated the slot, or it is older than its publication: changes since `confirmed_flush_lsn` are gone. |
 * | `SLOT_REPLACED` | Someone else has advanced the slot or made it anew: what lies between was not delivered. |
 * | `SLOT_FOREIGN` | The slot exists with another plugin, of another database, or is physical. |
 * | `PUBLICATION_UNFIT` | The publication is missing or does not fit the mapping: run `safetykit-sync migrate`. |
 * | `TRIGGERS_UNFIT` | The triggers of a mapped table are missing or do not fit the mapping: run `safetykit-sync migrate`. |
 * | `TABLE_UNFIT` | A mapped table cannot be captured: no primary key, no fitting replica identity. |
 * | `TABLE_BUSY` | A mapped table was in use for so long that its triggers could not be changed: run `safetykit-sync migrate` again. |
 * | `MAPPING_UNFIT` | A mapped column is no longer there; the rows wait in `dirty` until the mapping fits. |
 * | `SCHEMA_OUTDATED` | The side tables are missing or older than this version: run `safetykit-sync migrate`. |
 * | `SCHEMA_NEWER` | The side tables were made by a newer version of this package. |
 * | `API_UNAUTHORIZED` | The API answered 401 or 403: the key is wrong. The sidecar stops, nothing is acked. |
 * | `API_REJECTED` | The API refused an object (a 4xx that is not retried). The object is parked. |
 * | `API_UNAVAILABLE` | The API could not be reached, timed out, or answered 408, 429 or 5xx. It is retried. |
 * | `API_UNEXPECTED` | The API answered something that its contract does not know. It is retried. |
 * | `OBJECT_TOO_LARGE` | One object alone exceeds the size of a request. It is parked. |
 * | `OBJECT_INVALID` | A computed field threw or gave a value that is not JSON. The object is parked. |
 * | `UPLOAD_REFUSED` | Object storage refused the file of an import. Nothing of it was taken; the same backfill goes on where it was. |
 * | `SPOOL_UNFIT` | The folder for the files of imports is full or cannot be written. The same backfill goes on where it was. |
 * | `BACKFILL_RUNNING` | Another process backfills the same table. |
 * | `REQUEST_FAILED` | SafetyKit took a request and could not process it. Its objects are `failed`; those of an import are sent again. |
 * | `RESULTS_MISSING` | SafetyKit has not finished a request within 7 days. It is not asked about any more. |
 * | `ANSWER_TOO_LARGE` | The results of a request are too large for an answer of the API. They are not recorded. |
 * | `STREAM_BROKEN` | The replication stream ended or sent what cannot be read. It is reconnected. |
 * | `STREAM_STALLED` | The stream is connected and brings nothing, not even the heartbeat that was sent. It is reconnected. |
 * | `ARGUMENT_INVALID` | A question to `$safetykit` names what is not mapped, or an id that is none. |
 * | `INTERNAL` | A bug in this package. |
 */
export type ErrorCode =
  | 'CONFIG_INVALID'
  | 'CONFIG_NOT_FOUND'
  | 'SETTING_MISSING'
  | 'DATABASE_UNREACHABLE'
  | 'DATABASE_UNFIT'
  | 'SLOT_MISSING'
  | 'SLOT_IN_USE'
  | 'SLOT_LOST'
  | 'SLOT_REPLACED'
  | 'SLOT_FOREIGN'
  | 'PUBLICATION_UNFIT'
  | 'TRIGGERS_UNFIT'
  | 'TABLE_UNFIT'
  | 'TABLE_BUSY'
  | 'MAPPING_UNFIT'
  | 'SCHEMA_OUTDATED'
  | 'SCHEMA_NEWER'
  | 'API_UNAUTHORIZED'
  | 'API_REJECTED'
  | 'API_UNAVAILABLE'
  | 'API_UNEXPECTED'
  | 'OBJECT_TOO_LARGE'
  | 'OBJECT_INVALID'
  | 'UPLOAD_REFUSED'
  | 'SPOOL_UNFIT'
  | 'BACKFILL_RUNNING'
  | 'REQUEST_FAILED'
  | 'RESULTS_MISSING'
  | 'ANSWER_TOO_LARGE'
  | 'STREAM_BROKEN'
  | 'STREAM_STALLED'
  | 'ARGUMENT_INVALID'
  | 'INTERNAL'

export interface SyncErrorOptions {
  /** The exact SQL, command or setting that mends it. */
  readonly hint?: string | undefined
  /** Whether the same attempt may succeed later without anyone changing anything. Default: `false`. */
  readonly retryable?: boolean
  readonly cause?: unknown
}

/** The one base class: branch on `code`, print `message`, and show `hint` to whoever can mend it. */
export class SyncError extends Error {
  override readonly name: string = 'SyncError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options: SyncErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.retryable = options.retryable ?? false
  }
}

/**
 * Whether an error is one of this package. A process can have loaded the package twice (a configuration file brings its
 * own copy), so the class alone does not tell.
 */
export function isSyncError(error: unknown): error is SyncError {
  return (
    error instanceof SyncError ||
    (error instanceof Error && ['SyncError', 'ConfigError'].includes(error.name) && 'code' in error)
  )
}

/** The message, unless it is Postgres' about a value (SQLSTATE class 22): `invalid input syntax for type integer: "…"`. */
export function messageOf(error: Error): string {
  const code = 'code' in error ? error.code : undefined
  const quotes = typeof code === 'string' && /^22[0-9A-Z]{3}$/.test(code)
  return quotes ? `Postgres refused a value (${code})` : error.message
}

/** One mistake of a configuration: where it stands, what is wrong, and what to write instead. */
export interface Mistake {
  /** The path in the user's own file, for example `models.Product.fields.titel`. */
  readonly path: string
  readonly message: string
  /** What to do, often the nearest known name. */
  readonly hint?: string | undefined
  /** The hint, where it is SQL that mends it as it stands. */
  readonly sql?: string | undefined
}

/** All mistakes of a configuration in one report. */
export class ConfigError extends SyncError {
  override readonly name = 'ConfigError'
  readonly mistakes: readonly Mistake[]

  constructor(mistakes: readonly Mistake[], options: { readonly code?: ErrorCode; readonly title?: string } = {}) {
    const lines = mistakes.map((m) => `  ${m.path}: ${m.message}${m.hint === undefined ? '' : `\n    → ${m.hint}`}`)
    const title =
      options.title ?? `The configuration has ${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`}`
    super(options.code ?? 'CONFIG_INVALID', `${title}:\n${lines.join('\n')}`)
    this.mistakes = mistakes
  }
}
