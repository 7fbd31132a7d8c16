import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../backoff.js'
import type { Logger } from '../logger.js'
import type { LedgerPort, Records } from './ports.js'

/** Transactions at once: while one waits for the disk, the other one works. They never hold the same object. */
const maxWriters = 2
/** A group never holds more objects than this, so that a transaction of the ledger stays short. */
const maxGroupObjects = 4_000
const retryBounds = { baseMs: 100, maxMs: 5_000 }

interface Entry {
  readonly records: Partial<Records>
  readonly objects: number
  readonly done: () => void
}

/**
 * Writes to the ledger, a few transactions at a time: all that has come in while they commit goes into the next. Until a
 * transaction is durable nothing of it is settled; while the ledger is away it is tried again, and nothing is dropped.
 */
export class Recorder {
  readonly #ledger: LedgerPort
  readonly #logger: Logger
  readonly #random: () => number
  #queue: Entry[] = []
  readonly #writers = new Set<Promise<void>>()
  #working = 0
  #beginning = false
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
    // One that has not begun yet takes all that comes until then.
    if (this.#working < maxWriters && !this.#beginning) this.#begin()
  }

  /** Resolves when all that was handed in is durable, or given up. */
  async idle(): Promise<void> {
    while (this.#writers.size > 0) await Promise.all(this.#writers)
  }

  /** Gives up what is not durable yet: its changes stay unsettled, and come again. */
  abandon(): void {
    this.#abandoned = true
  }

  #begin(): void {
    const writer: Promise<void> = this.#run().finally(() => this.#writers.delete(writer))
    this.#writers.add(writer)
  }

  async #run(): Promise<void> {
    this.#working += 1
    this.#beginning = true
    // A turn of the event loop: answers that were read in the same turn share the transaction.
    await new Promise(setImmediate)
    this.#beginning = false
    for (let failures = 0; this.#queue.length > 0 && !this.#abandoned; ) {
      const group = this.#takeGroup()
      try {
        await this.#ledger.record(merge(group))
      } catch (error) {
        this.#queue = group.concat(this.#queue)
        this.#logger.error('The ledger could not be written, trying again', { attempt: failures + 1, error })
        await sleep(backoffMs(failures, retryBounds, this.#random), undefined, { ref: false })
        failures += 1
        continue
      }
      failures = 0
      // Beyond the catch: what is durable must not be recorded again, whatever its tickets do.
      for (const entry of group) entry.done()
    }
    // In the same turn in which the queue was found empty: what comes from now on needs a writer of its own.
    this.#working -= 1
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
