import { randomUUID } from 'node:crypto'
import type { ResolvedSync } from './config/resolved.js'
import { SafetyKitClient } from './delivery/client.js'
import type { DispatchCounts } from './delivery/dispatch-options.js'
import { ObjectStorage } from './delivery/import/storage.js'
import { temporaryDirectory } from './environment.js'
import { isSyncError } from './errors.js'
import type { EventSink } from './events.js'
import { HeartbeatStore } from './ledger/heartbeats.js'
import { Ledger } from './ledger/ledger.js'
import { checkLedger } from './ledger/migrate.js'
import { type Logger, silentLogger } from './logger.js'
import { namespaceSchemas } from './mapping/settings.js'
import type { Meter } from './meter.js'
import { Backfill } from './pipeline/backfill/backfill.js'
import type { BackfillReport, BackfillRequest } from './pipeline/backfill/report.js'
import { CaptureWatch } from './pipeline/capture-watch.js'
import { type ChangeCounts, noChanges } from './pipeline/change-counts.js'
import { checkReadable } from './pipeline/check-readable.js'
import { openDatabases } from './pipeline/databases.js'
import type { Engine, Parts } from './pipeline/engine.js'
import type { EngineState } from './pipeline/engine-state.js'
import type { Measures } from './pipeline/measures.js'
import { ProcessHeartbeat } from './pipeline/process-heartbeat.js'
import { SettingsPush } from './pipeline/push-settings.js'
import { checkReplication } from './pipeline/replication/check-replication.js'
import { ReplicationEngine } from './pipeline/replication/replication-engine.js'
import { Sources } from './pipeline/sources.js'
import { WorkerEngine } from './pipeline/worker/worker-engine.js'

export { type MigrateOptions, migrate } from './pipeline/migrate.js'

/*
 * The way of the data, and where each promise is kept:
 *
 *   WAL, or keys in `dirty` ──Arrival──▶ Dispatcher ──Receipt──▶ Ledger ──settle()──▶ ack, or key deleted
 *
 * Parked objects whose time has come and rows that a scan finds different are put into `dirty`, like any other key.
 *
 * 1. Nothing is lost: a ticket is settled only after the ledger's commit (Recorder), the slot is confirmed only below the
 *    oldest unsettled change (LowWatermark), a dirty key is deleted only once settled (DirtyQueue).
 * 2. Order per object: one slot an object, one state in flight, the newest one next (ObjectSlot, judge); of several
 *    workers each has parts of the keys for itself (Leases), and whoever reads from the slot is alone.
 * 3. No needless evaluation: what is sent is compared with the ledger first (judge), and settings by fingerprint.
 * 4. At least once, never silently twice: Doubts and Leases tell what a killed process may have sent without recording it.
 * 5. One bad row harms only itself: batches are split (Sender), the object is parked (Recorder).
 * 6. Bounded memory: the stream is paused above `maxPendingBytes`, keys are taken over by the thousand, and rows are read
 *    only while there is room for them (Backlog).
 * 7. Only mapped columns are decoded (WalChanges.select, readRows).
 * 8. The application is not harmed: nothing here locks its tables; the stream acks all the time, and what cannot be
 *    delivered for long is kept as keys rather than as WAL (Spill).
 */

export interface PipelineOptions {
  readonly resolved: ResolvedSync
  /** The source database, with the REPLICATION attribute for capture by replication. */
  readonly databaseUrl: string
  readonly apiKey: string
  /** Default: `https://api.safetykit.com`. */
  readonly baseUrl?: string | undefined
  readonly proxy?: { readonly httpProxy?: string; readonly httpsProxy?: string; readonly noProxy?: string } | undefined
  /** Is told what becomes of the objects. */
  readonly events?: EventSink | undefined
  /** Is told of each request and each transaction. */
  readonly meter?: Meter | undefined
  /** Default: silent. */
  readonly logger?: Logger
  /** Gives up on a start that gets no answer from the database. */
  readonly signal?: AbortSignal | undefined
}

/** A running pipeline. */
export interface Pipeline {
  /** Resolves after `stop()`; rejects with what only a person can mend: a `SyncError`, or an error of the database. */
  readonly done: Promise<void>
  readonly counts: DispatchCounts
  readonly state: EngineState
  measures(): Measures
  /** Something was written: looks at once, not with the next poll. */
  wake(): void
  /** Gives back at once what other workers could go on with; for a process that may be frozen now. */
  rest(): Promise<void>
  /**
   * Walks mapped tables and sends what differs from the ledger; resolves once all of it is settled. Where it is stopped,
   * or fails, the next one that is asked for the same goes on where it was.
   * @throws {SyncError} `ARGUMENT_INVALID` where the request names what is not mapped or its `where` is none.
   */
  backfill(request: BackfillRequest): Promise<BackfillReport>
  /** Takes no more, settles what is in flight, acks. */
  stop(): Promise<void>
  /**
   * Gives up on what is in flight: `stop()` resolves soon, also while the database does not answer, and what is not recorded
   * comes again.
   */
  abandon(): void
}

/** Between two looks at mappings that do not fit their table. */
const misfitCheckMs = 10_000

/** Between two beats of a process where the settings have none. */
const heartbeatMs = 15_000

/** How long a pipeline that was given up still waits for what it has asked of the database. */
const cutAfterMs = 1_000

/**
 * Nearly all of the ledger's statements are by key and take milliseconds. Where its server is gone without a word, no answer
 * comes for a quarter of an hour; what is given up is tried again over another connection.
 */
const ledgerTimeoutMs = 60_000

/**
 * Checks the configuration against the database, then delivers until it is stopped.
 * @throws {SyncError} where the database cannot serve; see its code and hint. Nothing was started then.
 */
export async function startPipeline(options: PipelineOptions): Promise<Pipeline> {
  const { resolved, databaseUrl, logger = silentLogger } = options
  // An application has connections of its own to keep within the server's limit.
  const max = resolved.deliver === 'inline' ? 3 : 4
  const databases = openDatabases({ databaseUrl, resolved, logger, max, ledgerTimeoutMs, signal: options.signal })
  try {
    await checkLedger(databases.ledger, resolved.schema)
    const { source: db, defaultSchema } = databases
    const sources = await Sources.open({ db, resolved, defaultSchema, logger })
    await checkReadable(db, sources)
    if (resolved.capture === 'replication') await checkReplication({ databases, resolved, sources, logger })
    const ledger = new Ledger({ pool: databases.ledger, schema: resolved.schema, meter: options.meter })
    return new RunningPipeline({ ...options, logger }, { databases, sources, ledger })
  } catch (error) {
    await databases.close()
    throw error
  }
}

type Opened = Pick<Parts, 'databases' | 'sources' | 'ledger'>

class RunningPipeline implements Pipeline {
  readonly done: Promise<void>
  readonly #parts: Parts
  readonly #engine: Engine
  readonly #captureWatch: CaptureWatch
  readonly #changes: ChangeCounts = noChanges()
  readonly #stopping = new AbortController()
  readonly #options: PipelineOptions
  #failure: { readonly error: unknown } | null = null

  constructor(options: PipelineOptions & { readonly logger: Logger }, opened: Opened) {
    const { resolved, databaseUrl, logger, events, meter, apiKey, baseUrl, proxy } = options
    const { requestTimeoutMs: timeoutMs, maxConcurrency: maxConnections } = resolved.delivery
    const client = new SafetyKitClient({ apiKey, baseUrl, proxy, timeoutMs, maxConnections, meter })
    const { signal } = this.#stopping
    this.#options = options
    this.#parts = {
      ...opened,
      process: randomUUID(),
      resolved,
      databaseUrl,
      client,
      settings: new SettingsPush({
        schemas: namespaceSchemas(resolved.mappings),
        client,
        ledger: opened.ledger,
        retry: { baseMs: resolved.delivery.retryBaseMs, maxMs: resolved.delivery.retryMaxMs },
        signal,
        onFailure: (error) => this.#fail(error),
        onPushed: () => this.#engine.release(),
        logger,
      }),
      proxy,
      events,
      logger,
      changes: this.#changes,
      signal,
      fail: (error) => this.#fail(error),
    }
    this.#engine =
      resolved.capture === 'replication' ? new ReplicationEngine(this.#parts) : new WorkerEngine(this.#parts)
    this.#captureWatch = new CaptureWatch({ ...opened, resolved, logger })
    this.done = this.#run()
    // The command listens to `done`; a library user may not, and must not die of it.
    this.done.catch(() => {})
  }

  get counts(): DispatchCounts {
    return this.#engine.counts
  }

  get state(): EngineState {
    return this.#engine.state
  }

  measures(): Measures {
    const { counts: dispatched, load } = this.#engine
    const misfits = this.#parts.sources.all.flatMap(({ name, misfit }) => (misfit === null ? [] : [name]))
    const error = this.#failure?.error
    const failure = error === undefined ? null : isSyncError(error) ? error.code : 'INTERNAL'
    const unpushed = this.#parts.settings.waiting
    const { uncaptured } = this.#captureWatch
    return { dispatched, ...load, changes: this.#changes, misfits, uncaptured, unpushed, failure }
  }

  wake(): void {
    this.#engine.wake()
  }

  rest(): Promise<void> {
    return this.#engine.rest()
  }

  async backfill(request: BackfillRequest): Promise<BackfillReport> {
    const { proxy } = this.#options
    const storage = new ObjectStorage({ proxy })
    const alive = setInterval(() => {}, 60_000)
    try {
      await Promise.race([this.#parts.settings.ensure(), aborted(request.signal)])
      const spoolDirectory = this.#parts.resolved.import.spoolDirectory ?? temporaryDirectory()
      const onKeys = (): void => this.#engine.wake()
      return await new Backfill({ parts: this.#parts, storage, spoolDirectory, onKeys }).run(request)
    } catch (error) {
      throw this.#failure === null ? error : this.#failure.error
    } finally {
      clearInterval(alive)
      await storage.destroy()
    }
  }

  async stop(): Promise<void> {
    // No timer of a worker keeps the process alive, but for the time that it takes to end in order.
    const alive = setInterval(() => {}, 60_000)
    this.#stopping.abort()
    await this.done.catch(() => {})
    clearInterval(alive)
  }

  abandon(): void {
    this.#engine.abandon()
    void this.#parts.client.destroy()
    const timer = setTimeout(() => this.#parts.databases.cut(), cutAfterMs)
    void this.done.catch(() => {}).finally(() => clearTimeout(timer))
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#stopping.abort()
  }

  async #run(): Promise<void> {
    const heartbeat = this.#heartbeat()
    const misfits = setInterval(() => this.#checkMisfits(), misfitCheckMs).unref()
    try {
      await this.#engine.run()
    } catch (error) {
      this.#failure ??= { error }
    }
    clearInterval(misfits)
    this.#captureWatch.stop()
    await this.#parts.client.destroy()
    if (this.state.phase !== 'stopped') this.#engine.state.enter('stopped')
    await heartbeat.stop()
    await this.#parts.databases.close()
    if (this.#failure !== null) throw this.#failure.error
  }

  #heartbeat(): ProcessHeartbeat {
    const { resolved, databases, process, logger } = this.#parts
    return new ProcessHeartbeat({
      store: new HeartbeatStore({ pool: databases.ledger, schema: resolved.schema }),
      process,
      state: this.#engine.state,
      slot: resolved.capture === 'replication' ? resolved.slot.name : null,
      everyMs: resolved.heartbeat.everyMs ?? heartbeatMs,
      logger,
    })
  }

  #checkMisfits(): void {
    const { sources, logger } = this.#parts
    if (sources.all.every((source) => source.misfit === null)) return
    sources.refresh().catch((error: unknown) => {
      logger.warn('The catalogue could not be read, trying again', { error })
    })
  }
}

/** Rejects with the signal's reason once it is aborted. */
function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason)
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
