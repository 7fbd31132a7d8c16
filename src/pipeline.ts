import { checkPublication } from './capture/replication/publication.js'
import { checkServer } from './capture/replication/server.js'
import { inspectSlot, slotProblem } from './capture/replication/slot.js'
import { openWalStream, type WalStream } from './capture/replication/wal-stream.js'
import type { ResolvedSync } from './config/resolved.js'
import { SafetyKitClient } from './delivery/client.js'
import { type DispatchCounts, Dispatcher } from './delivery/dispatch.js'
import type { Arrival, Ticket } from './delivery/ports.js'
import { SyncError } from './errors.js'
import { Ledger } from './ledger/ledger.js'
import { checkLedger } from './ledger/migrate.js'
import { type Logger, silentLogger } from './logger.js'
import { sessionSettingsSql } from './mapping/session.js'
import { namespaceSchemas } from './mapping/settings.js'
import { type Databases, openDatabases } from './pipeline/databases.js'
import { DirtyKeys } from './pipeline/dirty-keys.js'
import { Doubts } from './pipeline/doubts.js'
import { checkCapture, wantedPublication, withClient } from './pipeline/migrate.js'
import { ParkedObjects } from './pipeline/parked-objects.js'
import { pushSettings } from './pipeline/push-settings.js'
import { rowsReader } from './pipeline/read-rows.js'
import { Sources } from './pipeline/sources.js'
import { untilSlotIsFree } from './pipeline/standby.js'
import { WalChanges } from './pipeline/wal-changes.js'

export { type MigrateOptions, migrate } from './pipeline/migrate.js'

/*
 * The way of the data, and where each promise is kept:
 *
 *   WAL, dirty keys, parked objects ──Arrival──▶ Dispatcher ──Receipt──▶ Ledger ──settle()──▶ ack, delete, retry later
 *
 * 1. Nothing is lost: a ticket is settled only after the ledger's commit (Recorder), the slot is confirmed only below the
 *    oldest unsettled change (LowWatermark), a dirty key is deleted only once settled (DirtyQueue).
 * 2. Order per object: one slot an object, one state in flight, the newest one next (ObjectSlot, judge).
 * 3. No needless evaluation: what is sent is compared with the ledger first (judge), and settings by fingerprint.
 * 4. At least once, never silently twice: Doubts tells what a killed process may have sent without recording it.
 * 5. One bad row harms only itself: batches are split (Sender), the object is parked (Recorder).
 * 6. Bounded memory: the stream is paused above `maxPendingBytes` (here), dirty keys are taken over by the thousand.
 * 7. Only mapped columns are decoded (WalChanges.select, readRows).
 * 8. The application is not harmed: nothing here locks its tables; the stream acks all the time.
 */

export interface PipelineOptions {
  readonly resolved: ResolvedSync
  /** The source database, with the REPLICATION attribute for capture by replication. */
  readonly databaseUrl: string
  readonly apiKey: string
  /** Default: `https://api.safetykit.com`. */
  readonly baseUrl?: string | undefined
  readonly proxy?: { readonly httpProxy?: string; readonly httpsProxy?: string; readonly noProxy?: string } | undefined
  /** Default: silent. */
  readonly logger?: Logger
}

/** A running pipeline. */
export interface Pipeline {
  /** Resolves after `stop()`; rejects with what only a person can mend: a `SyncError`, or an error of the database. */
  readonly done: Promise<void>
  readonly counts: DispatchCounts
  /** Takes no more, settles what is in flight, acks. */
  stop(): Promise<void>
  /** Gives up on what is in flight: `stop()` resolves soon, and what is not recorded comes again. */
  abandon(): void
}

/** Between two looks at mappings that do not fit their table. */
const misfitCheckMs = 10_000

/**
 * Checks the configuration against the database, then delivers until it is stopped.
 * @throws {SyncError} where the database cannot serve; see its code and hint. Nothing was started then.
 */
export async function startPipeline(options: PipelineOptions): Promise<Pipeline> {
  const { resolved, databaseUrl, logger = silentLogger } = options
  checkCapture(resolved)
  const databases = openDatabases({ databaseUrl, resolved, logger })
  try {
    await checkLedger(databases.ledger, resolved.schema)
    const { source: db, defaultSchema } = databases
    const sources = await Sources.open({ db, resolved, defaultSchema, logger })
    await checkReplication(databases, resolved, sources, logger)
    const ledger = new Ledger({ pool: databases.ledger, schema: resolved.schema })
    return new RunningPipeline({ ...options, logger }, { databases, sources, ledger })
  } catch (error) {
    await databases.close()
    throw error
  }
}

async function checkReplication(
  databases: Databases,
  resolved: ResolvedSync,
  sources: Sources,
  logger: Logger,
): Promise<void> {
  await withClient(databases.source, async (client) => {
    await checkServer(client, resolved.slot.name)
    const wanted = wantedPublication(
      resolved,
      sources.all.map((source) => source.bound),
    )
    const [finding, ...more] = await checkPublication(client, wanted)
    if (finding !== undefined) {
      const all = [finding, ...more]
      throw new SyncError(finding.code, all.map(({ message }) => message).join('; '), {
        hint: ['Run: safetykit-sync migrate, which runs:', ...all.flatMap(({ sql }) => sql ?? [])].join('\n'),
      })
    }
    const { rows } = await client.query<{ name: string }>('SELECT pg_catalog.current_database() AS name')
    const slot = await inspectSlot(client, resolved.slot.name)
    const problem = slotProblem(resolved.slot.name, slot, rows[0]?.name ?? '')
    if (problem === null) return
    if (problem.code !== 'SLOT_IN_USE') throw problem
    // A killed sidecar's connection takes a moment to go; another one that lives makes this one its standby.
    logger.warn(`${problem.message}; waiting for it`, { hint: problem.hint })
  })
}

interface Parts {
  readonly databases: Databases
  readonly sources: Sources
  readonly ledger: Ledger
}

class RunningPipeline implements Pipeline {
  readonly done: Promise<void>
  readonly #options: PipelineOptions & { readonly logger: Logger }
  readonly #parts: Parts
  readonly #client: SafetyKitClient
  readonly #dispatcher: Dispatcher
  readonly #stopping = new AbortController()
  #stream: WalStream | null = null
  #doubts: Doubts | null = null
  #paused = false
  #failure: { readonly error: unknown } | null = null

  constructor(options: PipelineOptions & { readonly logger: Logger }, parts: Parts) {
    const { resolved, logger, apiKey, baseUrl, proxy } = options
    const { ledger, sources, databases } = parts
    this.#options = options
    this.#parts = parts
    this.#client = new SafetyKitClient({
      apiKey,
      baseUrl,
      proxy,
      timeoutMs: resolved.delivery.requestTimeoutMs,
      maxConnections: resolved.delivery.maxConcurrency,
    })
    this.#dispatcher = new Dispatcher({
      client: this.#client,
      ledger,
      readRows: rowsReader({ db: databases.source, sources }),
      delivery: resolved.delivery,
      parking: resolved.parking,
      beforeSend: (lsn) => this.#doubts?.stream.cover(lsn) ?? null,
      onUnauthorized: (error) => this.#fail(error),
      onPendingBytes: (bytes) => this.#regulate(bytes),
      logger,
    })
    this.done = this.#run()
    // The command listens to `done`; a library user may not, and must not die of it.
    this.done.catch(() => {})
  }

  get counts(): DispatchCounts {
    return this.#dispatcher.counts
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.done.catch(() => {})
  }

  abandon(): void {
    this.#dispatcher.abandon()
    void this.#client.destroy()
  }

  #fail(error: SyncError): void {
    this.#failure ??= { error }
    this.#stopping.abort()
  }

  /** Promise 6: above the budget the socket is not read; below half of it, it is again. */
  #regulate(bytes: number): void {
    const { maxPendingBytes } = this.#options.resolved
    if (!this.#paused && bytes > maxPendingBytes) {
      this.#paused = true
      this.#stream?.pause()
    } else if (this.#paused && bytes < maxPendingBytes / 2) {
      this.#paused = false
      this.#stream?.resume()
    }
    // Drained: what is confirmed need not wait for the timer.
    if (bytes === 0) this.#stream?.flushAcks()
  }

  async #run(): Promise<void> {
    try {
      await this.#pushSettings()
      if (!this.#stopping.signal.aborted) await this.#deliver()
    } catch (error) {
      this.#failure ??= { error }
    }
    await this.#client.destroy()
    await this.#parts.databases.close()
    if (this.#failure !== null) throw this.#failure.error
  }

  async #pushSettings(): Promise<void> {
    const { resolved, logger } = this.#options
    await pushSettings({
      schemas: namespaceSchemas(resolved.mappings),
      client: this.#client,
      ledger: this.#parts.ledger,
      retry: { baseMs: resolved.delivery.retryBaseMs, maxMs: resolved.delivery.retryMaxMs },
      signal: this.#stopping.signal,
      logger,
    })
  }

  /** Until it is told to stop; then in the order in which nothing can be lost. */
  async #deliver(): Promise<void> {
    const { resolved, databaseUrl, logger } = this.#options
    const { sources, ledger, databases } = this.#parts
    await untilSlotIsFree({ db: databases.source, slot: resolved.slot.name, signal: this.#stopping.signal, logger })
    if (this.#stopping.signal.aborted) return
    const doubts = await Doubts.open({ databases, ledger, resolved, logger })
    this.#doubts = doubts
    const arrive = (arrival: Arrival): void => this.#dispatcher.arrive(arrival)
    const markTable = (source: string, ticket: Ticket): void => this.#dispatcher.markTable(source, ticket)
    const changes = new WalChanges({
      sources,
      arrive,
      markTable,
      replayedThrough: doubts.changesThrough,
      logger,
    })
    const stream = openWalStream({
      connection: { connectionString: databaseUrl, application_name: 'safetykit-sync' },
      slot: resolved.slot.name,
      publication: resolved.publication.name,
      sessionSettings: sessionSettingsSql,
      consumer: changes,
      logger,
    })
    this.#stream = stream
    stream.done.catch((error: SyncError) => this.#fail(error))
    const dirty = new DirtyKeys({
      db: databases.ledger,
      schema: resolved.schema,
      sources,
      doubts,
      arrive,
      markTable,
      logger,
    })
    const parked = new ParkedObjects({ ledger, sources, arrive, logger })
    const misfits = setInterval(() => this.#checkMisfits(), misfitCheckMs)
    await aborted(this.#stopping.signal)

    clearInterval(misfits)
    stream.pause()
    await Promise.all([dirty.stop(), parked.stop()])
    const { inDoubt } = await this.#dispatcher.stop()
    await dirty.flush()
    if (!inDoubt) await doubts.clear(changes.settledThrough)
    await stream.stop()
  }

  #checkMisfits(): void {
    const { sources } = this.#parts
    if (sources.all.every((source) => source.misfit === null)) return
    sources.refresh().catch((error: unknown) => {
      this.#options.logger.warn('The catalogue could not be read, trying again', { error })
    })
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
