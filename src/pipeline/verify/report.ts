/** What a verification is asked for. */
export interface VerifyRequest {
  /** By the names of models, for a configuration over a Prisma client. Default: all mapped tables. */
  readonly models?: readonly string[] | undefined
  /** By `schema.table`, as the configuration or the database spells it. Default: all mapped tables. */
  readonly tables?: readonly string[] | undefined
  /** SQL over the columns of the table, whose alias is `t`; only rows for which it is true are looked at. */
  readonly where?: string | undefined
  /** Ends it soon, with its reason as the error. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined
}

/** How far a table has come. Told a few times a second at most, and once at its end. */
export interface VerifyProgress {
  readonly source: string
  readonly rows: number
  /** How many rows the table has, about; `null`: not known, as with `where`. */
  readonly estimatedRows: number | null
}

export interface VerifyReport {
  /** Nothing is missing, different, parked or dead, and no row is gone without its tombstone. */
  readonly inStep: boolean
  readonly tables: readonly VerifiedTable[]
}

export interface VerifiedTable {
  /** The table, as the configuration has it: `schema.table`. */
  readonly source: string
  readonly rows: number
  /** Keys of the table that wait for their delivery. */
  readonly waiting: number
  /** One for each mapping of the table. */
  readonly mappings: readonly VerifiedMapping[]
}

/** How the objects of a mapping stand to the rows of its table, by the ledger. */
export interface VerifiedMapping {
  readonly namespace: string
  /** SafetyKit has accepted what the row says; or the mapping leaves the row out, and nothing is to be done. */
  readonly inStep: number
  /** SafetyKit has never accepted anything of it. */
  readonly missing: number
  /** What it has accepted last is something else. */
  readonly different: number
  /** What the row says was refused, and is tried again. */
  readonly parked: number
  /** What the row says was refused, and is not tried again. */
  readonly dead: number
  /**
   * Objects of the ledger without a row, but for those with an accepted tombstone. With `onDelete: 'ignore'` they are as they
   * should be. `null`: not known, with `where`, or where two mappings of the table share a namespace.
   */
  readonly gone: number | null
  /** Objects of the ledger whose id names no row, so that nobody can tell whether it is gone. `null`: as with `gone`. */
  readonly untold: number | null
}
