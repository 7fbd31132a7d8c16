import { setTimeout as sleep } from 'node:timers/promises'
import pg, { type ClientBase } from 'pg'
import { checkLedger } from '../ledger/migrate.js'
import { PruneStore } from './prune-store.js'

export interface PruneOptions {
  /** A connection to the side tables' database, used by nothing else meanwhile. */
  readonly ledger: ClientBase
  /** Of the side tables, unquoted. */
  readonly schema: string
  /** What is older goes. */
  readonly olderThanMs: number
  /** Rows that are looked at in a transaction, about. Default: 5,000. */
  readonly batch?: number
  /** Counts, and deletes nothing. */
  readonly dryRun?: boolean
  /** Ends it after the batch that is under way. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: PruneProgress) => void
}

/** How many rows went. */
export interface Pruned {
  readonly submissions: number
  readonly requests: number
  readonly webhooks: number
  readonly heartbeats: number
  readonly scans: number
}

export interface PruneProgress extends Pruned {
  /** Of the pages of the largest table, `submissions`. */
  readonly page: number
  readonly pages: number
}

export interface PruneReport extends Pruned {
  readonly dryRun: boolean
  /** ISO 8601, by the database's clock: what is older was looked for. */
  readonly before: string
  /** Whether it came to its end; else the next one goes on. */
  readonly finished: boolean
}

const defaultBatch = 5_000
const maxPauseMs = 1_000

/**
 * Deletes what is not needed any more of the side tables, a small transaction at a time: it holds no lock and no snapshot for
 * long, and rests for as long as it has worked. It walks the tables page by page, so that it reads each page once, however
 * much of it has to stay; one that was stopped begins anew, and passes quickly over what has gone.
 *
 * What stays, however old: the submission and the request that an object was last accepted under or evaluated by, what an
 * open request has sent, and what a backfill is about to record.
 * @throws {SyncError} `SCHEMA_OUTDATED` or `SCHEMA_NEWER` where the side tables are not those of this version.
 */
export async function prune(options: PruneOptions): Promise<PruneReport> {
  const { ledger, olderThanMs, batch = defaultBatch, dryRun = false, signal, onProgress } = options
  await checkLedger(ledger, options.schema)
  const store = new PruneStore({ db: ledger, schema: pg.escapeIdentifier(options.schema), dryRun })
  const before = await store.cutoff(olderThanMs)
  const done = { submissions: 0, requests: 0, webhooks: 0, heartbeats: 0, scans: 0 }
  const report = (finished: boolean): PruneReport => ({ ...done, dryRun, before, finished })

  const submissions = await store.extent('submissions', batch)
  for await (const [from, to] of slices(submissions, signal)) {
    const gone = await store.submissions(from, to, before)
    done.submissions += gone.submissions
    done.requests += gone.requests
    onProgress?.({ ...done, page: to, pages: submissions.pages })
  }
  const webhooks = await store.extent('webhooks', batch)
  for await (const [from, to] of slices(webhooks, signal)) done.webhooks += await store.webhooks(from, to, before)
  if (signal?.aborted) return report(false)
  done.heartbeats = await store.heartbeats()
  done.scans = await store.scans(before)
  return report(true)
}

interface Extent {
  readonly pages: number
  readonly pagesAtOnce: number
}

/** Page by page up to what the table had at the beginning; what comes later is new. Rests between two slices. */
async function* slices({ pages, pagesAtOnce }: Extent, signal: AbortSignal | undefined) {
  for (let from = 0; from < pages && !signal?.aborted; from += pagesAtOnce) {
    const startedAt = performance.now()
    yield [from, from + pagesAtOnce] as const
    const restMs = Math.min(maxPauseMs, performance.now() - startedAt)
    await sleep(restMs, undefined, { signal }).catch(() => {})
  }
}
