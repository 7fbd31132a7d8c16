/** What a backfill is asked for. */
export interface BackfillRequest {
  /** By the names of models, for a configuration over a Prisma client. Default: all mapped tables. */
  readonly models?: readonly string[]
  /** By `schema.table`, as the configuration or the database spells it. Default: all mapped tables. */
  readonly tables?: readonly string[]
  /** SQL over the columns of the table; only rows for which it is true are looked at. */
  readonly where?: string
  /** Sends also what was accepted, or refused, with this very content. Default: `false`. */
  readonly force?: boolean
  /** Ends a table once so many of its objects were sent, by this run and the one that it goes on with. Default: all. */
  readonly limit?: number
  /** Stops soon; the next backfill that is asked for the same goes on where this one was. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: BackfillProgress) => void
}

/**
 * What a backfill is doing: `waiting` for changes that were captured before it, or for another backfill of the table;
 * `scanning`, and sending imports meanwhile; `importing`, with all rows read; `delivering` the rest as ongoing changes;
 * `done`, told once, as the last of a table.
 */
export type BackfillPhase = 'waiting' | 'scanning' | 'importing' | 'delivering' | 'done'

/** How far a table has come. Told a few times a second at most, and once at its end. */
export interface BackfillProgress extends BackfilledTable {
  readonly phase: BackfillPhase
  /** How many rows the table has, about; `null`: not known, as with `where`. */
  readonly estimatedRows: number | null
  /** Keys of this table that wait for their delivery, while `delivering`. */
  readonly waiting: number
}

/**
 * What became of a table. Of a run that goes on where an earlier one was, the counts are those of both. Where that one was
 * killed they overlap: the objects of an import that it has left unrecorded are in `imported`, and in `inStep` as their rows
 * are walked again.
 */
export interface BackfilledTable {
  /** The table, as `schema.table`. */
  readonly source: string
  /** Rows that were looked at. */
  readonly rows: number
  /** Objects that the ledger had as they are, and that were not sent. */
  readonly inStep: number
  /** Objects that were sent by imports and are recorded. */
  readonly imported: number
  /** Imports that were recorded: each is a request. */
  readonly imports: number
  /** Rows that were handed to the delivery of ongoing changes. */
  readonly queued: number
  /** Objects that SafetyKit refused with this very content before, and that were left as they are. */
  readonly refused: number
}

export interface BackfillReport {
  readonly tables: readonly BackfilledTable[]
}
