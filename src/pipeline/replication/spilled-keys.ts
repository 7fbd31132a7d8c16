import type { Arrival, DeferredKey, LedgerPort, Ticket } from '../../delivery/ports.js'
import { Recorder } from '../../delivery/recorder.js'
import { SyncError } from '../../errors.js'
import type { Logger } from '../../logger.js'

/** How long keys wait for others: what a row changes meanwhile costs nothing more. */
const maxAgeMs = 2_000
/** So many are written at once. */
const fullAt = 10_000
/** What a key costs beside its text, and a change that waits for it. */
const keyBytes = 200
const ticketBytes = 16

interface SpilledKeysOptions {
  readonly ledger: LedgerPort
  /** Keys were written of which an earlier process may have sent the rows; see `SpillPort.doubtKeys`. */
  readonly doubtKeys: () => Promise<void>
  /** Called after each change of {@link SpilledKeys.bytes}. */
  readonly onBytes: () => void
  readonly logger: Logger
}

class Batch {
  readonly keys = new Map<string, DeferredKey>()
  readonly tickets: Ticket[] = []
  doubted = false
  bytes = 0

  /** Returns the bytes that it holds more. */
  add({ origin, id, key: given, ticket, force, replayed }: Arrival): number {
    const key = given ?? origin.keyOf?.(id)
    if (key === undefined) throw new SyncError('INTERNAL', `A change of ${origin.source} came without its key`)
    const name = `${origin.source} ${JSON.stringify(key)}`
    const before = this.keys.get(name)
    const forced = force || replayed || before?.force === true
    if (before === undefined || before.force !== forced) {
      this.keys.set(name, { source: origin.source, key, force: forced })
    }
    this.tickets.push(ticket)
    this.doubted ||= replayed
    const added = ticketBytes + (before === undefined ? keyBytes + 2 * name.length : 0)
    this.bytes += added
    return added
  }
}

/** Writes the keys of changes into `dirty`, each once for what comes within two seconds, and settles the changes then. */
export class SpilledKeys {
  readonly #options: SpilledKeysOptions
  readonly #recorder: Recorder
  #gathering = new Batch()
  #writing: Promise<void> | null = null
  #timer: NodeJS.Timeout | null = null
  #bytes = 0
  #written = 0
  #stopped = false
  #abandoned = false

  constructor(options: SpilledKeysOptions) {
    const { ledger, logger } = options
    this.#options = options
    this.#recorder = new Recorder({ ledger, logger, random: Math.random })
  }

  /** The memory of what is not written yet, about. */
  get bytes(): number {
    return this.#bytes
  }

  /** Keys that stand in `dirty` by now, or did. */
  get written(): number {
    return this.#written
  }

  /** After {@link stop} nothing is taken: it comes again. */
  add(arrival: Arrival): void {
    if (this.#stopped) return
    this.#bytes += this.#gathering.add(arrival)
    if (this.#gathering.keys.size >= fullAt) this.#write()
    else this.#timer ??= setTimeout(() => this.#write(), maxAgeMs).unref()
    this.#options.onBytes()
  }

  /** Writes what waits. */
  async stop(): Promise<void> {
    this.#stopped = true
    while (!this.#abandoned && (this.#writing !== null || this.#gathering.keys.size > 0)) {
      this.#write()
      await this.#writing
    }
  }

  /** Gives up what is not written yet. */
  abandon(): void {
    this.#abandoned = true
    this.#recorder.abandon()
  }

  /** One batch at a time: while the ledger is slow, more changes share a key. */
  #write(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#writing !== null || this.#gathering.keys.size === 0) return
    const batch = this.#gathering
    this.#gathering = new Batch()
    this.#writing = this.#record(batch).finally(() => {
      this.#writing = null
      if (this.#gathering.keys.size > 0) this.#timer ??= setTimeout(() => this.#write(), maxAgeMs).unref()
      if (this.#gathering.keys.size >= fullAt) this.#write()
    })
  }

  async #record(batch: Batch): Promise<void> {
    let isDurable = false
    this.#recorder.record({ deferred: [...batch.keys.values()] }, batch.keys.size, () => {
      isDurable = true
    })
    await this.#recorder.idle()
    if (!isDurable) return
    if (batch.doubted) await this.#options.doubtKeys()
    this.#written += batch.keys.size
    this.#bytes -= batch.bytes
    for (const ticket of batch.tickets) ticket.settle()
    this.#options.onBytes()
  }
}
