/** A call of SafetyKit's API, whatever became of it. */
export interface ApiCall {
  readonly call: 'add' | 'settings' | 'import' | 'status'
  /** Of the HTTP answer; `null` where there was none. */
  readonly status: number | null
  /** From the call's start until its answer was read. */
  readonly seconds: number
  /** The body's, as it was sent. */
  readonly bytes: number
  /** In the body. */
  readonly objects: number
}

/** A transaction in which the ledger recorded what became of objects. */
export interface LedgerTransaction {
  readonly outcome: 'committed' | 'failed'
  readonly seconds: number
}

/** Is told of what takes its time: a call a request or a transaction, never one a row. */
export interface Meter {
  called(call: ApiCall): void
  recorded(transaction: LedgerTransaction): void
}
