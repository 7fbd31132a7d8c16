import { backoffMs } from '../backoff.js'
import type { DeliverySettings } from '../config/resolved.js'
import type { ObjectSlot } from './slot.js'

/** After so many failed requests in a row an object travels alone, so that it cannot take others down with it. */
const aloneAfterFailures = 4
/** After so many, the last of them alone, it may be the object, not the API: it is parked. */
const parkAfterFailures = 8
/** So many of them have to come after others got through. */
const parkAfterFailuresAmongSuccesses = 4

/** One namespace's way to the API: what is ready, when a batch of it is due, and how long to wait after a failure. */
export class Lane {
  readonly namespace: string
  readonly slots = new Map<string, ObjectSlot>()
  /** Objects that the API may have in a state that is not recorded: what comes next must not be taken for unchanged. */
  readonly inDoubt = new Set<string>()
  inFlight = 0
  readonly #settings: DeliverySettings
  readonly #isHeld: () => boolean
  /** With the bytes of each. */
  readonly #ready = new Map<ObjectSlot, number>()
  #readyBytes = 0
  #failuresInARow = 0
  #notBeforeMs = 0
  /** As the API asked for by `Retry-After`: a success of a request that was under way does not take it back. */
  #askedNotBeforeMs = 0
  /** Since when requests have no answer that decides about their objects, or could not be made; `null` where all have one. */
  #unansweredSinceMs: number | null = null
  #answeredMs = Number.NEGATIVE_INFINITY
  #failedMs = Number.NEGATIVE_INFINITY
  /** When the last request that was accepted started. */
  #lastSuccessMs = Number.NEGATIVE_INFINITY

  /** @param isHeld whether nothing may be sent yet. */
  constructor(namespace: string, settings: DeliverySettings, isHeld: () => boolean = () => false) {
    this.namespace = namespace
    this.#settings = settings
    this.#isHeld = isHeld
  }

  get readyBytes(): number {
    return this.#readyBytes
  }

  put(slot: ObjectSlot, bytes: number, nowMs: number): void {
    // A newer state takes the place of one that was ready: else others would overtake an object that changes all the time.
    const before = this.#ready.get(slot)
    if (before === undefined) slot.readySinceMs = nowMs
    this.#ready.set(slot, bytes)
    this.#readyBytes += bytes - (before ?? 0)
    if (this.#isHeld()) this.#unansweredSinceMs ??= nowMs
  }

  remove(slot: ObjectSlot): void {
    const bytes = this.#ready.get(slot)
    if (bytes === undefined) return
    this.#ready.delete(slot)
    this.#readyBytes -= bytes
  }

  /** When the next batch may start, in the clock's milliseconds; `Infinity` where nothing is ready. */
  dueAtMs(): number {
    const [oldest] = this.#ready.keys()
    if (oldest === undefined || this.#isHeld()) return Number.POSITIVE_INFINITY
    // One request at a time feels for an API that fails, whatever is waiting.
    if (this.#failuresInARow > 0 && this.inFlight > 0) return Number.POSITIVE_INFINITY
    const full = this.#ready.size >= this.#maxObjects() || this.#readyBytes >= this.#settings.maxBatchBytes
    return Math.max(
      this.#notBeforeMs,
      this.#askedNotBeforeMs,
      full ? 0 : oldest.readySinceMs + this.#settings.maxBatchAgeMs,
    )
  }

  /** Takes the next batch out: the oldest objects, by count and bytes. */
  takeBatch(): ObjectSlot[] {
    const batch: ObjectSlot[] = []
    let batchBytes = 0
    for (const [slot, bytes] of this.#ready) {
      const alone = slot.failures >= aloneAfterFailures
      if (batch.length > 0 && (alone || batchBytes + bytes > this.#settings.maxBatchBytes)) break
      batch.push(slot)
      batchBytes += bytes
      if (alone || batch.length >= this.#maxObjects()) break
    }
    for (const slot of batch) this.remove(slot)
    return batch
  }

  /** Whether the WAL is kept for anything that is delivered in its newest state. */
  holdsWal(): boolean {
    for (const slot of this.slots.values()) if (slot.holdsWal && slot.origin.every !== true) return true
    return false
  }

  /** Since when nothing gets through although there is something to send; `null` where it does. */
  get stuckSinceMs(): number | null {
    return this.slots.size === 0 ? null : this.#unansweredSinceMs
  }

  /** Whether objects have got through since `sinceMs`, and no request has failed for `calmMs`. */
  isCalm({ sinceMs, calmMs, nowMs }: { sinceMs: number; calmMs: number; nowMs: number }): boolean {
    return this.#answeredMs > sinceMs && this.#failuresInARow === 0 && nowMs - this.#failedMs >= calmMs
  }

  /** A request is on its way. */
  asked(nowMs: number): void {
    this.#unansweredSinceMs ??= nowMs
  }

  /** The API took what a request held, or refused it. */
  answered(nowMs: number): void {
    this.#answeredMs = nowMs
    this.#unansweredSinceMs = this.inFlight > 1 ? nowMs : null
  }

  /** Nothing is left to send: what failed is a thing of the past. */
  emptied(): void {
    this.#unansweredSinceMs = null
  }

  succeeded(startedMs: number): void {
    this.#failuresInARow = 0
    this.#notBeforeMs = 0
    this.#lastSuccessMs = Math.max(this.#lastSuccessMs, startedMs)
  }

  /**
   * Waits before the next request. Requests that were under way together fail together and count once, so one bad
   * moment with sixteen requests in flight is not sixteen failures in a row.
   */
  failed(options: { startedMs: number; nowMs: number; retryAfterMs: number | null; random: () => number }): void {
    this.#failedMs = options.nowMs
    if (this.#failuresInARow === 0 || options.startedMs >= this.#notBeforeMs) {
      const bounds = { baseMs: this.#settings.retryBaseMs, maxMs: this.#settings.retryMaxMs }
      this.#notBeforeMs = options.nowMs + backoffMs(this.#failuresInARow, bounds, options.random)
      this.#failuresInARow += 1
    }
    if (options.retryAfterMs !== null) {
      this.#askedNotBeforeMs = Math.max(this.#askedNotBeforeMs, options.nowMs + options.retryAfterMs)
    }
  }

  /**
   * Counts a failed request that held this object. Returns whether the object is to blame: what fails after requests got
   * through that started after its first failure speaks against it. An API that is away, or goes away while many requests
   * are under way, fails for everyone.
   */
  blames(slot: ObjectSlot, nowMs: number): boolean {
    slot.failures += 1
    if (slot.failures === 1) {
      slot.firstFailureMs = nowMs
      slot.failuresAmongSuccesses = 0
    } else if (this.#lastSuccessMs > slot.firstFailureMs) {
      slot.failuresAmongSuccesses += 1
    }
    return slot.failures >= parkAfterFailures && slot.failuresAmongSuccesses >= parkAfterFailuresAmongSuccesses
  }

  /** Smaller batches while the API fails: cheap probes, and each time others, so that one bad batch cannot block. */
  #maxObjects(): number {
    const halvings = Math.max(0, this.#failuresInARow - aloneAfterFailures)
    return Math.max(1, this.#settings.maxBatchObjects >> Math.min(halvings, 30))
  }
}
