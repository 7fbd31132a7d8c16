import { setTimeout as sleep } from 'node:timers/promises'
import { SyncError } from '../../errors.js'
import { type LeaseStore, leaseMs } from '../../ledger/leases.js'
import { Lease } from '../lease.js'
import { takenOver } from './journal.js'

/** One that was left by a killed process has ended by then. */
const patienceMs = leaseMs + 3_000
const pollMs = 250

/** One process at a time backfills a table: it holds the lease `backfill <table>`. */
export interface BackfillLease {
  /** Aborted, with a `SyncError`, once it is another process'. */
  readonly lost: AbortSignal
  release(): Promise<void>
}

/** @throws {SyncError} `BACKFILL_RUNNING` where another process has it and keeps it. */
export async function takeBackfillLease(
  store: LeaseStore,
  { source, signal }: { readonly source: string; readonly signal: AbortSignal },
): Promise<BackfillLease> {
  const lease = new Lease({
    store,
    name: `backfill ${source}`,
    reason: (lost, cause) => (lost === 'taken' ? takenOver(source) : expired(source, cause)),
  })
  const untilMs = performance.now() + patienceMs
  for (;;) {
    const lost = await lease.acquire()
    // What cannot be given back ends by itself.
    if (lost !== null) return { lost, release: () => lease.release().catch(() => {}) }
    if (performance.now() > untilMs) throw takenOver(source)
    await sleep(pollMs, undefined, { signal })
  }
}

function expired(source: string, cause: unknown): SyncError {
  const message = `The lease of the backfill of ${source} could not be renewed in time`
  return new SyncError('DATABASE_UNREACHABLE', message, { cause, retryable: true })
}
