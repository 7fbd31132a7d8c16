import type { Logger } from '../logger.js'
import type { LedgerPort, Records } from './ports.js'
import { backoffMs } from './retry.js'

/** A group never holds more objects than this, so that a transaction of the ledger stays short. */
const maxGroupObjects = 4_000
const retryBounds = { baseMs: 100, maxMs: 5_000 }

interface Entry {
  readonly records: Partial<Records>
  readonly objects: number
  readonly done: () => void
}

/**
 * Writes to the ledger, one transaction at a time: all that has come in while one commits goes into the next. Until a
 * transaction is durable nothing of it is settled; while the ledger is away it is tried again, and nothing is dropped.
 */
export class Recorder {
  readonly #ledger: LedgerPort
  readonly #logger: Logger
  readonly #random: () => number
  #queue: Entry[] = []
  #running: Promise<void> | null = null
  #abandoned = false

  constructor(options: { readonly ledger: LedgerPort; readonly logger: Logger; readonly random: () => number }) {
    this.#ledger = options.ledger
    this.#logger = options.logger
    this.#random = options.random
  }

  /** Whether something was given up, of what the API may have accepted. */
  get hasGivenUp(): boolean {
    return this.#abandoned && this.#queue.length > 0
  }

  /** `done` is called once the records are durable. */
  record(records: Partial<Records>, objects: number, done: () => void): void {
    this.#queue.push({ records, objects, done })
    this.#running ??= this.#run()
  }

  /** Resolves when all that was handed in is durable, or given up. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  /** Gives up what is not durable yet: its changes stay unsettled, and come again. */
  abandon(): void {
    this.#abandoned = true
  }

  async #run(): Promise<void> {
    // A turn of the event loop: answers that were read in the same turn share the transaction.
    await new Promise(setImmediate)
    for (let failures = 0; this.#queue.length > 0 && !this.#abandoned; ) {
      const group = this.#takeGroup()
      try {
        await this.#ledger.record(merge(group))
        failures = 0
        for (const entry of group) entry.done()
      } catch (error) {
        this.#queue = group.concat(this.#queue)
        this.#logger.error('The ledger could not be written, trying again', { attempt: failures + 1, error })
        await new Promise((resolve) => setTimeout(resolve, backoffMs(failures, retryBounds, this.#random)))
        failures += 1
      }
    }
    this.#running = null
  }

  #takeGroup(): Entry[] {
    let objects = 0
    let length = 0
    for (const entry of this.#queue) {
      if (length > 0 && objects + entry.objects > maxGroupObjects) break
      objects += entry.objects
      length += 1
    }
    return this.#queue.splice(0, length)
  }
}

function merge(entries: readonly Entry[]): Records {
  return {
    receipts: entries.flatMap((entry) => entry.records.receipts ?? []),
    parked: entries.flatMap((entry) => entry.records.parked ?? []),
    deferred: entries.flatMap((entry) => entry.records.deferred ?? []),
    unparked: entries.flatMap((entry) => entry.records.unparked ?? []),
  }
}
