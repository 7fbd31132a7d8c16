import type { Dispatcher } from '../../delivery/dispatch.js'
import type { DispatchCounts } from '../../delivery/dispatch-options.js'
import { LeaseStore } from '../../ledger/leases.js'
import { DirtyKeys } from '../dirty-keys.js'
import { noCounts, sumOfCounts } from '../dispatch-counts.js'
import { aborted, type Engine, type EngineLoad, loadOf, openDispatcher, type Parts } from '../engine.js'
import { LiveState } from '../live-state.js'
import { ParkedObjects } from '../parked-objects.js'
import { type Following, followRequests } from '../results.js'
import { Scanner } from '../scan/scanner.js'
import { sendAgain } from '../send-again.js'
import { Leases } from './leases.js'

/** A write may have marked a table; looking for marks costs two queries, so it is not done for each write. */
const scanLookMs = 250

/**
 * Changes from `dirty`, where triggers or the client's hook put them: one of any number of workers, in applications and
 * sidecars, that share the keys by leases.
 *
 * A worker that finds that it has lost a lease (it was stopped, or could not reach the database for too long) forgets all
 * that it has not sent, waits for the answers to what it has, and begins anew as another worker: the keys are still in
 * `dirty`. What was under way is sent once more, since it may have arrived after what the other worker sent.
 */
export class WorkerEngine implements Engine {
  readonly state = new LiveState()
  readonly #parts: Parts
  #life: Life | null = null
  #results: Following | null = null
  #abandoned = false
  #past: DispatchCounts = noCounts
  readonly #resting: EngineLoad

  constructor(parts: Parts) {
    this.#parts = parts
    const { maxConcurrency } = parts.resolved.delivery
    this.#resting = { requestsInFlight: 0, maxRequestsInFlight: maxConcurrency, pendingBytes: 0, leases: 0 }
  }

  get counts(): DispatchCounts {
    return this.#life === null ? this.#past : sumOfCounts(this.#past, this.#life.counts)
  }

  get load(): EngineLoad {
    return this.#life?.load ?? this.#resting
  }

  wake(): void {
    this.#life?.wake()
  }

  /** A worker begins once all settings are pushed. */
  release(): void {}

  async rest(): Promise<void> {
    await Promise.all([this.#life?.rest(), this.#results?.rest()])
  }

  abandon(): void {
    this.#abandoned = true
    this.#life?.abandon()
  }

  async run(): Promise<void> {
    const { settings, signal } = this.#parts
    try {
      // Keys cost nothing while they wait in `dirty`: none is taken up before it may be sent.
      await settings.ensure()
      if (signal.aborted) return
      this.state.enter('working')
      await this.#work()
    } finally {
      this.state.enter('stopped')
    }
  }

  async #work(): Promise<void> {
    const { ledger, sources, logger, signal } = this.#parts
    const parked = new ParkedObjects({ ledger, sources, onDue: () => this.wake(), logger })
    const results = followRequests(this.#parts, () => this.wake())
    this.#results = results
    while (!signal.aborted) {
      const life = new Life(this.#parts)
      this.#life = life
      if (this.#abandoned) life.abandon()
      await life.run()
      this.#past = sumOfCounts(this.#past, life.counts)
      this.#life = null
    }
    await Promise.all([parked.stop(), results.stop()])
  }
}

/** A worker from its first lease to its last. */
class Life {
  readonly #parts: Parts
  readonly #dispatcher: Dispatcher
  readonly #leases: Leases
  readonly #dirty: DirtyKeys
  readonly #scanner: Scanner
  /** Aborted when a lease is another worker's. */
  readonly #displaced = new AbortController()
  readonly #ended: Promise<void>
  #scanLook: NodeJS.Timeout | null = null

  constructor(parts: Parts) {
    const { databases, resolved, sources, logger, signal } = parts
    const { schema } = resolved
    const displaced = this.#displaced.signal
    this.#parts = parts
    this.#ended = aborted(AbortSignal.any([signal, displaced]))
    this.#leases = new Leases({
      store: new LeaseStore({ pool: databases.ledger, schema }),
      logger,
      onLost: () => this.#displaced.abort(),
    })
    this.#dispatcher = openDispatcher(parts, {
      beforeSend: () => this.#leases.untilValid(),
      mayRecord: () => this.#leases.untilValid()?.then(() => !displaced.aborted) ?? !displaced.aborted,
      onPendingBytes: () => {},
    })
    this.#dirty = new DirtyKeys({
      pool: databases.ledger,
      schema,
      sources,
      doubts: this.#leases,
      attend: (woken) => this.#leases.attend(this.#dirty, woken),
      arrive: (arrival) => this.#dispatcher.arrive(arrival),
      markTable: (source, ticket) => this.#dispatcher.markTable(source, ticket),
      changes: parts.changes,
      logger,
    })
    this.#scanner = new Scanner({
      db: databases.source,
      ledger: databases.ledger,
      schema,
      sources,
      lease: {
        acquire: (source) => this.#leases.acquireScan(source),
        holds: (source) => this.#leases.holdsScan(source),
        release: (source) => this.#leases.releaseScan(source),
      },
      onKeys: () => this.#dirty.wake(),
      everyMs: resolved.scan.everyMs,
      changes: parts.changes,
      logger,
    })
  }

  get counts(): DispatchCounts {
    return this.#dispatcher.counts
  }

  get load(): EngineLoad {
    return loadOf(this.#dispatcher, this.#leases.held)
  }

  wake(): void {
    this.#dirty.wake()
    this.#scanLook ??= setTimeout(() => {
      this.#scanLook = null
      this.#scanner.wake()
    }, scanLookMs).unref()
  }

  rest(): Promise<void> {
    const rested = this.#leases.rest()
    this.#dirty.wake()
    return rested
  }

  abandon(): void {
    this.#dispatcher.abandon()
  }

  async run(): Promise<void> {
    await this.#ended
    if (this.#scanLook !== null) clearTimeout(this.#scanLook)
    await this.#scanner.stop()
    const underWay = this.#dispatcher.underWay()
    // Nothing is sent from here on. Before the leases let go of what waits for one: it may be another worker's by now.
    const stopped = this.#dispatcher.stop()
    this.#leases.end()
    await this.#dirty.stop()
    const { inDoubt } = await stopped
    // Asked only now: it may have been frozen while it waited for answers.
    const isOurs = await this.#leases.keep()
    try {
      await this.#dirty.flush()
      await this.#leases.release(inDoubt)
    } catch (error) {
      // What was settled is settled; the keys are found unchanged, and the leases end by themselves.
      this.#parts.logger.warn('The keys that are settled could not be deleted, nor the leases given back', { error })
    }
    if (!isOurs) await sendAgain(this.#parts, underWay)
  }
}
