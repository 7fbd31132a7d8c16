import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../../backoff.js'
import type { RowKey } from '../../capture/change.js'
import type { RowReader } from '../../capture/rows.js'
import type { ChunkLimits, ChunkReader, WalkPosition } from '../../capture/scan.js'
import { Comparison } from '../../ledger/comparison.js'
import type { Queryable } from '../../ledger/postgres.js'
import { type Run, ScanStore } from '../../ledger/scans.js'
import type { Logger } from '../../logger.js'
import { traced } from '../../tracing.js'
import { type ChangeCounts, noChanges } from '../change-counts.js'
import type { Sources } from '../sources.js'
import { compareTarget } from './compare.js'
import { GoneWalk } from './gone-walk.js'
import { Rests } from './rests.js'
import { isBehind } from './standing.js'
import { TableWalk, type WalkedChunk } from './table-walk.js'
import { until, untilSettled } from './until-settled.js'
import { withoutValues } from './without-values.js'

/** Who scans a table. Two at once would do no harm, only the work twice. */
export interface ScanLease {
  acquire(source: string): Promise<boolean>
  holds(source: string): boolean
  release(source: string): Promise<void>
}

export interface ScannerOptions {
  /** The source database, set up so that it writes values as every door reads them. */
  readonly db: ChunkReader & RowReader
  readonly ledger: Queryable
  /** The side tables' schema, unquoted. */
  readonly schema: string
  readonly sources: Sources
  readonly lease: ScanLease
  /** Awaited before a table is walked: what else may have an older state of a row in flight is to be settled then. */
  readonly before?: (source: string, signal: AbortSignal) => Promise<void>
  /** Keys were put into `dirty`. */
  readonly onKeys: () => void
  readonly logger: Logger
  readonly limits?: ChunkLimits
  /** Above so many keys that wait, the walk waits too. Default: 10,000. */
  readonly maxWaitingKeys?: number
  /** Between two looks for marks. Default: 2,000. */
  readonly pollMs?: number
  /** Tables are scanned so often without a mark, too. Default: `null`, never. */
  readonly everyMs?: number | null
  readonly changes?: ChangeCounts | undefined
}

/** How far a scan has come: what `scans.cursor` holds. */
type Cursor =
  | { readonly walk: 'rows'; readonly position: WalkPosition }
  | { readonly walk: 'gone'; readonly mapping: number; readonly after: string | null }

const retryBounds = { baseMs: 500, maxMs: 30_000 }
/** Between two looks for tables whose periodic scan is due. */
const maxDueLookMs = 60_000

/**
 * Serves the marks of whole tables: walks the table, compares every row with the ledger, and puts the keys of those that
 * differ into `dirty`. It sends nothing itself, so that an object is never with two.
 *
 * A row must not count as in step while an older state of it is in flight. Whoever has one has read it before the change
 * that the mark stands for, so its key was in `dirty` when the scan began, and it stays there until the ledger has what
 * became of it. So the walk begins once all keys of the table that were there are gone; those that come later are read later.
 */
export class Scanner {
  readonly #options: ScannerOptions
  readonly #scans: ScanStore
  readonly #comparison: Comparison
  readonly #stopping = new AbortController()
  readonly #running: Promise<void>
  readonly #rests = new Rests()
  readonly #changes: ChangeCounts
  /** Keys that may be put into `dirty` before it is looked how many wait there. */
  #room = 0
  /** When to look for tables whose periodic scan is due. */
  #dueLookAtMs = 0
  #woken = false
  #wake: (() => void) | null = null

  constructor(options: ScannerOptions) {
    const ledger = { pool: options.ledger, schema: options.schema }
    this.#options = options
    this.#changes = options.changes ?? noChanges()
    this.#scans = new ScanStore(ledger)
    this.#comparison = new Comparison(ledger)
    this.#running = this.#run()
  }

  /** Looks for marks at once. */
  wake(): void {
    this.#woken = true
    this.#wake?.()
  }

  /** Ends soon, also in the middle of a walk; whoever is next goes on where this one was. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#wake?.()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    for (let failures = 0; !signal.aborted; ) {
      this.#woken = false
      try {
        await this.#look()
        failures = 0
      } catch (error) {
        const delayMs = backoffMs(failures, retryBounds, Math.random)
        this.#options.logger.error('The marks of tables could not be read, trying again', { error, delayMs })
        failures += 1
        await sleep(delayMs, undefined, { signal, ref: false }).catch(() => {})
        continue
      }
      await this.#wait()
    }
  }

  async #look(): Promise<void> {
    const all = this.#options.sources.all
    const misfits = all.filter(({ misfit }) => misfit !== null).map(({ name }) => name)
    if (misfits.length > 0) await this.#scans.compactMarks(misfits)
    const names = this.#fitting()
    await this.#markOverdue(names)
    // In this order, a mark that becomes a run meanwhile is seen as one of them.
    const marked = await this.#scans.marked(names)
    const unfinished = (await this.#scans.unfinished(names, 'mark')).map(({ source }) => source)
    const due = [...new Set([...unfinished, ...marked])]
    for (const source of due) {
      if (this.#stopping.signal.aborted) return
      if (this.#rests.isOver(source)) await this.#serve(source)
    }
  }

  async #markOverdue(names: readonly string[]): Promise<void> {
    const { everyMs = null } = this.#options
    if (everyMs === null || performance.now() < this.#dueLookAtMs) return
    await this.#scans.markOverdue(names, everyMs)
    this.#dueLookAtMs = performance.now() + Math.min(maxDueLookMs, everyMs / 10)
  }

  async #serve(source: string): Promise<void> {
    const { lease, logger } = this.#options
    const startedMs = performance.now()
    try {
      if (!(await lease.acquire(source))) return
      try {
        await this.#scan(source)
      } finally {
        await lease.release(source)
      }
      this.#rests.begin(source, performance.now() - startedMs)
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      const delayMs = this.#rests.failed(source)
      logger.error('The scan of a table failed, trying again', { source, error: withoutValues(error), delayMs })
      // A migration may have been the reason.
      await this.#options.sources.refresh()
    }
  }

  /** Goes on with the run that was not finished; marks that came meanwhile are served by the next one. */
  async #scan(source: string): Promise<void> {
    const { before, logger } = this.#options
    const { signal } = this.#stopping
    const [left] = await this.#scans.unfinished([source], 'mark')
    if (left === undefined && (await this.#scans.marked([source])).length === 0) return
    const run = left ?? (await this.#scans.start(source, 'mark'))
    await before?.(source, signal)
    await untilSettled(this.#scans, source, signal)
    logger.debug('The scan of a table begins', { source, reason: run.reason, continued: left !== undefined })
    const counts = { rows: 0, differing: 0, untold: 0 }
    const attributes = { 'db.collection.name': source, 'safetykit.continued': left !== undefined }
    const ended = await traced('safetykit.scan', { root: true, attributes }, async (span) => {
      const walked = (await this.#walkRows(run, counts)) && (await this.#walkGone(run, counts))
      span.setAttributes({ 'safetykit.rows': counts.rows, 'safetykit.differing': counts.differing })
      return walked
    })
    if (!ended || !(await this.#scans.finish(run))) return
    this.#changes.scan.finished += 1
    logger.info('A table was scanned', { source, reason: run.reason, ...counts })
  }

  async #walkRows(run: Run, counts: Counts): Promise<boolean> {
    const { db, sources, limits } = this.#options
    const cursor = run.cursor as Cursor | null
    if (cursor?.walk === 'gone') return true
    const from = cursor?.position ?? null
    const options = { db, sources, source: run.source, from, contents: false }
    const walk = new TableWalk(limits === undefined ? options : { ...options, limits })
    try {
      for (;;) {
        if (!(await this.#mayGoOn(run))) return false
        const chunk = await walk.next()
        if (chunk === null) return true
        const keys = await this.#behind(chunk)
        counts.rows += chunk.rows
        this.#changes.scan.rows += chunk.rows
        const next: Cursor | null = chunk.position === null ? null : { walk: 'rows', position: chunk.position }
        if (!(await this.#save(run, next, keys, counts))) return false
      }
    } finally {
      await walk.close()
    }
  }

  /** The keys of the rows that one of the mappings is not in step with. */
  async #behind(chunk: WalkedChunk): Promise<readonly RowKey[]> {
    const behind = new Set<number>()
    for (const walked of chunk.targets) {
      const { standings } = await compareTarget(this.#comparison, walked)
      for (const [index, standing] of standings.entries()) {
        if (isBehind(standing)) behind.add(walked.rows[index] ?? 0)
      }
    }
    return [...behind].map((row) => chunk.keyOf(row))
  }

  /** What the first walk cannot see: objects without a row. */
  async #walkGone(run: Run, counts: Counts): Promise<boolean> {
    const { db, sources, logger } = this.#options
    const cursor = run.cursor as Cursor | null
    const started = cursor?.walk === 'gone' ? cursor : { mapping: 0, after: null }
    const targets = sources.get(run.source)?.targets ?? []
    for (const [mapping, target] of targets.entries()) {
      if (mapping < started.mapping || target.origin.tombstone === null) continue
      const from = mapping === started.mapping ? started.after : null
      const comparison = this.#comparison
      const walk = new GoneWalk({ db, comparison, sources, source: run.source, mapping, from })
      for (;;) {
        if (!(await this.#mayGoOn(run))) return false
        const chunk = await walk.next()
        if (chunk === null) break
        counts.untold += chunk.untold
        const keys = chunk.gone.filter(({ standing }) => isBehind(standing)).map(({ key }) => key)
        const next: Cursor = { walk: 'gone', mapping, after: chunk.position }
        if (!(await this.#save(run, next, keys, counts))) return false
      }
    }
    if (counts.untold > 0) {
      logger.warn('The ids of some objects name no row of their table; whether it is gone is not known', {
        source: run.source,
        objects: counts.untold,
      })
    }
    return true
  }

  async #save(run: Run, cursor: Cursor | null, keys: readonly RowKey[], counts: Counts): Promise<boolean> {
    counts.differing += keys.length
    this.#changes.scan.differing += keys.length
    this.#room -= keys.length
    const saved = await this.#scans.save(run, cursor, keys)
    if (saved && keys.length > 0) this.#options.onKeys()
    return saved
  }

  /** Waits while many keys do: what is found would only wait behind them. */
  async #mayGoOn(run: Run): Promise<boolean> {
    const { lease, maxWaitingKeys = 10_000 } = this.#options
    const { signal } = this.#stopping
    // Looked at after a good many new keys only: in a long backlog it is not cheap.
    if (this.#room <= 0) {
      await until(async () => !(await this.#scans.isCrowded(this.#fitting(), maxWaitingKeys)), signal)
      this.#room = maxWaitingKeys / 10
    }
    return !signal.aborted && lease.holds(run.source)
  }

  /** The tables whose keys are worked. */
  #fitting(): readonly string[] {
    return this.#options.sources.all.filter(({ misfit }) => misfit === null).map(({ name }) => name)
  }

  /** Until it is woken, a table has rested, or it is time for a look. */
  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#wake = null
        resolve()
      }
      const timer = setTimeout(wake, Math.min(this.#options.pollMs ?? 2_000, ...this.#rests.leftMs())).unref()
      this.#wake = wake
      if (this.#woken || this.#stopping.signal.aborted) wake()
    })
  }
}

interface Counts {
  rows: number
  differing: number
  untold: number
}
