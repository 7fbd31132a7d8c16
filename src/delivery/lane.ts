import type { DeliverySettings } from '../config/resolved.js'
import { backoffMs } from './retry.js'
import type { ObjectSlot } from './slot.js'

/** After so many failed requests in a row an object travels alone, so that it cannot take others down with it. */
const aloneAfterFailures = 4
/** After so many, alone and while others of its namespace get through, it is the object, not the API: it is parked. */
const parkAfterFailures = 8

/** An object that is ready to be sent, and its size. */
interface Ready {
  readonly slot: ObjectSlot
  readonly json: string
  readonly bytes: number
}

/** One namespace's way to the API: what is ready, when a batch of it is due, and how long to wait after a failure. */
export class Lane {
  readonly namespace: string
  readonly slots = new Map<string, ObjectSlot>()
  inFlight = 0
  readonly #settings: DeliverySettings
  readonly #ready = new Map<ObjectSlot, Ready>()
  #readyBytes = 0
  #failuresInARow = 0
  #notBeforeMs = 0
  #lastSuccessMs = Number.NEGATIVE_INFINITY

  constructor(namespace: string, settings: DeliverySettings) {
    this.namespace = namespace
    this.#settings = settings
  }

  get readyObjects(): number {
    return this.#ready.size
  }

  put(slot: ObjectSlot, json: string, bytes: number): void {
    this.remove(slot)
    this.#ready.set(slot, { slot, json, bytes })
    this.#readyBytes += bytes
  }

  remove(slot: ObjectSlot): void {
    const ready = this.#ready.get(slot)
    if (ready === undefined) return
    this.#ready.delete(slot)
    this.#readyBytes -= ready.bytes
  }

  /** When the next batch may start, in the clock's milliseconds; `Infinity` where nothing is ready. */
  dueAtMs(): number {
    const [oldest] = this.#ready.keys()
    if (oldest === undefined) return Number.POSITIVE_INFINITY
    // One request at a time feels for an API that fails, whatever is waiting.
    if (this.#failuresInARow > 0 && this.inFlight > 0) return Number.POSITIVE_INFINITY
    const full = this.#ready.size >= this.#maxObjects() || this.#readyBytes >= this.#settings.maxBatchBytes
    return Math.max(this.#notBeforeMs, full ? 0 : oldest.waitingSinceMs + this.#settings.maxBatchAgeMs)
  }

  /** Takes the next batch out: the oldest objects, by count and bytes. */
  takeBatch(): ObjectSlot[] {
    const batch: ObjectSlot[] = []
    let bytes = 0
    for (const ready of this.#ready.values()) {
      const alone = ready.slot.failures >= aloneAfterFailures
      if (batch.length > 0 && (alone || bytes + ready.bytes > this.#settings.maxBatchBytes)) break
      batch.push(ready.slot)
      bytes += ready.bytes
      if (alone || batch.length >= this.#maxObjects()) break
    }
    for (const slot of batch) this.remove(slot)
    return batch
  }

  succeeded(nowMs: number): void {
    this.#failuresInARow = 0
    this.#notBeforeMs = 0
    this.#lastSuccessMs = nowMs
  }

  /**
   * Waits before the next request. Requests that were under way together fail together and count once, so one bad
   * moment with sixteen requests in flight is not sixteen failures in a row.
   */
  failed(options: { startedMs: number; nowMs: number; retryAfterMs: number | null; random: () => number }): void {
    if (this.#failuresInARow === 0 || options.startedMs >= this.#notBeforeMs) {
      const bounds = { baseMs: this.#settings.retryBaseMs, maxMs: this.#settings.retryMaxMs }
      this.#notBeforeMs = options.nowMs + backoffMs(this.#failuresInARow, bounds, options.random)
      this.#failuresInARow += 1
    }
    if (options.retryAfterMs !== null) {
      this.#notBeforeMs = Math.max(this.#notBeforeMs, options.nowMs + options.retryAfterMs)
    }
  }

  /** Whether a request that held only this object has failed so often, among successes of others, that it is to blame. */
  isToBlame(slot: ObjectSlot): boolean {
    return slot.failures >= parkAfterFailures && this.#lastSuccessMs > slot.firstFailureMs
  }

  /** Smaller batches while the API fails: cheap probes, and each time others, so that one bad batch cannot block. */
  #maxObjects(): number {
    const halvings = Math.max(0, this.#failuresInARow - aloneAfterFailures)
    return Math.max(1, this.#settings.maxBatchObjects >> Math.min(halvings, 30))
  }
}
