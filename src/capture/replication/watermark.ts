import { SyncError } from '../../errors.js'
import type { Lsn } from '../../lsn.js'

/** A transaction that is not settled yet: what `add` hands out and `settle` takes back. */
export interface PendingTransaction {
  readonly commitLsn: Lsn
}

class Transaction implements PendingTransaction {
  readonly owner: LowWatermark
  readonly commitLsn: Lsn
  unsettled = 0
  /** Everything up to here is settled once this transaction is; `null` until it is committed. */
  endLsn: Lsn | null = null
  previous: Transaction | null
  next: Transaction | null = null

  constructor(owner: LowWatermark, commitLsn: Lsn, previous: Transaction | null) {
    this.owner = owner
    this.commitLsn = commitLsn
    this.previous = previous
  }
}

/**
 * How far the slot may be confirmed: the end of the last transaction such that it and all before it are committed and
 * settled. One tracker for each attempt; a token of another attempt's tracker is ignored, because the server sends that
 * transaction again.
 *
 * A transaction that settles behind an unsettled one leaves its end with that one and is forgotten. So memory grows with
 * unsettled transactions only, however many settle behind a slow one.
 */
export class LowWatermark {
  #confirmed: Lsn = 0n
  #unsettled = 0
  #open: Transaction | null = null
  #last: Transaction | null = null

  /** A transaction begins; the protocol's version 1 sends them whole and in the order of their commits. */
  begin(commitLsn: Lsn): void {
    if (this.#open !== null) throw new SyncError('INTERNAL', 'A transaction began within another')
    const transaction = new Transaction(this, commitLsn, this.#last)
    if (this.#last !== null) this.#last.next = transaction
    this.#last = transaction
    this.#open = transaction
  }

  /** A change of the open transaction has to be settled. */
  add(): PendingTransaction {
    if (this.#open === null) throw new SyncError('INTERNAL', 'A change came outside of a transaction')
    this.#open.unsettled++
    this.#unsettled++
    return this.#open
  }

  /** The open transaction is complete; `endLsn` is where its commit record ends. */
  commit(endLsn: Lsn): void {
    const transaction = this.#open
    if (transaction === null) throw new SyncError('INTERNAL', 'A commit came outside of a transaction')
    this.#open = null
    transaction.endLsn = endLsn
    if (transaction.unsettled === 0) this.#forget(transaction, endLsn)
  }

  /** `count` changes of a transaction are settled. */
  settle(token: PendingTransaction, count = 1): void {
    if (!(token instanceof Transaction) || token.owner !== this) return
    if (count > token.unsettled) throw new SyncError('INTERNAL', 'More changes were settled than there were')
    token.unsettled -= count
    this.#unsettled -= count
    if (token.unsettled === 0 && token.endLsn !== null && count > 0) this.#forget(token, token.endLsn)
  }

  /**
   * The server has sent everything up to `walEnd` (a keepalive). Without an open transaction that is as good as the end
   * of the last one: so an idle slot does not hold the WAL that other tables and databases write.
   */
  idle(walEnd: Lsn): void {
    if (this.#open === null) this.#extend(this.#last, walEnd)
  }

  /** What may be confirmed; `0n` as long as nothing may. */
  confirmed(): Lsn {
    return this.#confirmed
  }

  /** Changes that were added and not settled. */
  get unsettled(): number {
    return this.#unsettled
  }

  #forget(transaction: Transaction, endLsn: Lsn): void {
    const { previous, next } = transaction
    if (previous !== null) previous.next = next
    if (next !== null) next.previous = previous
    else this.#last = previous
    this.#extend(previous, endLsn)
  }

  #extend(transaction: Transaction | null, endLsn: Lsn): void {
    if (transaction === null) {
      if (endLsn > this.#confirmed) this.#confirmed = endLsn
    } else if (transaction.endLsn === null || endLsn > transaction.endLsn) transaction.endLsn = endLsn
  }
}
