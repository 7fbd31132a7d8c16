/** Which refused objects: those that fit all that is said. */
export interface RetryFilter {
  readonly namespaces?: readonly string[] | undefined
  readonly ids?: readonly string[] | undefined
  /** Error codes of this package, as `status` shows them: `API_REJECTED`. */
  readonly codes?: readonly string[] | undefined
  readonly state?: 'parked' | 'dead' | undefined
}

/** How many of them, and whether in earnest. */
export interface RetryBounds {
  /** Objects at most. Default: all. */
  readonly limit?: number | undefined
  /** Counts, and changes nothing. */
  readonly dryRun?: boolean | undefined
}

/** What became of them. */
export interface RetryReport {
  readonly dryRun: boolean
  /** So many are sent again. */
  readonly objects: number
  readonly groups: readonly RefusedGroup[]
  /** Fitting ones that wait in `dirty` already: they are left as they are, unless they were asked for by their ids. */
  readonly waiting: number
  /** Fitting ones that nothing would send: their table or namespace is not mapped any more. */
  readonly unmapped: number
  /** Processes that deliver and were heard of within the last minute. */
  readonly delivering: number
}

/** Refused objects of the same kind. */
export interface RefusedGroup {
  readonly namespace: string
  readonly code: string | null
  readonly state: 'parked' | 'dead'
  readonly objects: number
}
