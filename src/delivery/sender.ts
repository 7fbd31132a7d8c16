import type { DeliverySettings } from '../config/resolved.js'
import type { SyncError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Outcome } from './api-outcome.js'
import { addBody, emptyBodyBytes } from './body.js'
import type { SafetyKitClient } from './client.js'
import { ConcurrencyLimit } from './concurrency.js'
import { Lane } from './lane.js'
import type { ObjectSlot } from './slot.js'

/** The longest that a timer can wait. A longer one would go off at once. */
const maxTimerMs = 2 ** 31 - 1

export interface SenderOptions {
  readonly client: Pick<SafetyKitClient, 'add'>
  readonly settings: DeliverySettings
  /** Called with the newest LSN of a batch before it is sent; where it returns a promise, the batch waits for that. */
  readonly beforeSend: (lsn: bigint) => Promise<void> | null
  /** Whether nothing may be sent to a namespace yet; where that ends, {@link Sender.pumpSoon} is to be called. Default: none is. */
  readonly isHeld?: ((namespace: string) => boolean) | undefined
  /**
   * Whether an answer may be recorded: `false` where another process delivers by now, which may have sent something newer
   * before the answer was read. Default: always.
   */
  readonly mayRecord?: (() => boolean | Promise<boolean>) | undefined
  readonly logger: Logger
  readonly nowMs: () => number
  readonly random: () => number
}

/** What becomes of the objects of a batch; each is told exactly once. */
export interface SenderEvents {
  accepted(lane: Lane, batch: readonly ObjectSlot[], requestId: string): void
  /** The API refuses this object, alone. */
  refused(lane: Lane, slot: ObjectSlot, error: SyncError, status: number | null): void
  /** It did not get through; `ambiguous`: the API may have it all the same. */
  returned(lane: Lane, slot: ObjectSlot, options: { readonly ambiguous: boolean }): void
  /** The key is wrong. Nothing more is sent. Told once, however many requests were in flight. */
  unauthorized(error: SyncError): void
}

/** Sends what is ready: batches when they are due, as many at once as the API likes, each failure answered by its kind. */
export class Sender {
  readonly counts = { requests: 0, retries: 0, throttled: 0, sentObjects: 0 }
  /** The most that one object may have, in bytes. */
  readonly maxObjectBytes: number
  readonly #options: SenderOptions
  readonly #events: SenderEvents
  readonly #limit: ConcurrencyLimit
  readonly #lanes = new Map<string, Lane>()
  readonly #requests = new Set<Promise<void>>()
  readonly #underWay = new Set<AbortController>()
  #timer: NodeJS.Timeout | null = null
  #pumping: NodeJS.Immediate | null = null
  #timerAtMs = Number.POSITIVE_INFINITY
  #halted = false
  #unauthorized = false

  constructor(options: SenderOptions, events: SenderEvents) {
    this.#options = options
    this.#events = events
    this.#limit = new ConcurrencyLimit(options.settings.maxConcurrency)
    this.maxObjectBytes = options.settings.maxBatchBytes - emptyBodyBytes
  }

  get inFlight(): number {
    return this.#requests.size
  }

  /** Bytes that wait to be sent. */
  get readyBytes(): number {
    let bytes = 0
    for (const lane of this.#lanes.values()) bytes += lane.readyBytes
    return bytes
  }

  /** Requests that may be in flight at once, now. */
  get limit(): number {
    return this.#limit.limit
  }

  /** Whether the API may have a state of any object that is not recorded. */
  get inDoubt(): boolean {
    for (const lane of this.#lanes.values()) if (lane.inDoubt.size > 0) return true
    return false
  }

  lanes(): Iterable<Lane> {
    return this.#lanes.values()
  }

  lane(namespace: string): Lane {
    let lane = this.#lanes.get(namespace)
    if (lane === undefined) {
      // A comma is counted with each object, and the last one has none.
      const settings = { ...this.#options.settings, maxBatchBytes: this.maxObjectBytes + 1 }
      lane = new Lane(namespace, settings, () => this.#options.isHeld?.(namespace) === true)
      this.#lanes.set(namespace, lane)
    }
    return lane
  }

  /** Pumps at the end of this turn of the event loop: objects get ready by the hundred, and a batch is to hold them all. */
  pumpSoon(): void {
    if (this.#pumping !== null) return
    this.#pumping = setImmediate(() => {
      this.#pumping = null
      this.pump()
    })
  }

  /** Starts every batch that is due, and sets the timer for the next one. */
  pump(): void {
    if (this.#halted) return
    const nowMs = this.#options.nowMs()
    let nextMs = Number.POSITIVE_INFINITY
    for (const lane of this.#lanes.values()) {
      const dueMs = lane.dueAtMs()
      if (dueMs > nowMs || this.#requests.size >= this.#limit.limit) {
        nextMs = Math.min(nextMs, dueMs)
        continue
      }
      this.#deliver(lane, lane.takeBatch())
      // Behind all others, where this loop comes by again: a long backlog is not to keep other namespaces waiting.
      this.#lanes.delete(lane.namespace)
      this.#lanes.set(lane.namespace, lane)
    }
    // At the limit the end of a request pumps again.
    this.#wakeAt(this.#requests.size < this.#limit.limit ? nextMs : Number.POSITIVE_INFINITY, nowMs)
  }

  /** Gives up on the requests under way: what they held is sent again, once that may be. */
  giveUp(): void {
    const requests = this.#underWay.size
    if (requests === 0) return
    this.#options.logger.warn('Requests are given up: another process may be the one that sends', { requests })
    for (const request of this.#underWay) request.abort()
  }

  /** Sends nothing more; resolves when every request in flight has ended. */
  async halt(): Promise<void> {
    this.#halted = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    while (this.#requests.size > 0) await Promise.allSettled(this.#requests)
  }

  #wakeAt(atMs: number, nowMs: number): void {
    if (this.#timer !== null) {
      if (atMs >= this.#timerAtMs) return
      clearTimeout(this.#timer)
      this.#timer = null
    }
    if (atMs === Number.POSITIVE_INFINITY) return
    this.#timerAtMs = atMs
    this.#timer = setTimeout(
      () => {
        this.#timer = null
        this.pump()
      },
      Math.min(Math.max(1, atMs - nowMs), maxTimerMs),
    ).unref()
  }

  #deliver(lane: Lane, batch: readonly ObjectSlot[]): void {
    lane.inFlight += 1
    for (const slot of batch) {
      if (slot.waiting?.kind !== 'object') continue
      const content = slot.waiting
      slot.begin()
      slot.sending = content
    }
    const request = this.#send(lane, batch)
      .catch((error: unknown) => {
        // A bug, not a failure of the API; nothing may be lost for it.
        this.#options.logger.error('A batch could not be sent', { namespace: lane.namespace, error })
        for (const slot of batch) if (slot.sending !== null) this.#events.returned(lane, slot, { ambiguous: true })
      })
      .finally(() => {
        lane.inFlight -= 1
        this.#requests.delete(request)
        this.pump()
      })
    this.#requests.add(request)
  }

  async #send(lane: Lane, batch: readonly ObjectSlot[]): Promise<void> {
    const startedMs = this.#options.nowMs()
    const jsons: string[] = []
    let lsn = 0n
    for (const { sending } of batch) {
      if (sending === null) continue
      jsons.push(sending.json)
      if (sending.lsn !== null && sending.lsn > lsn) lsn = sending.lsn
    }
    const gate = this.#options.beforeSend(lsn)
    if (gate !== null) {
      await gate
      if (this.#halted) {
        this.#returnAll(lane, batch, { ambiguous: false })
        return
      }
    }
    this.counts.requests += 1
    this.counts.sentObjects += batch.length
    lane.asked(this.#options.nowMs())
    const request = new AbortController()
    this.#underWay.add(request)
    const outcome = await this.#options.client
      .add(lane.namespace, addBody(jsons), batch.length, request.signal)
      .finally(() => this.#underWay.delete(request))
    const facts = { namespace: lane.namespace, objects: batch.length }
    if (outcome.kind === 'accepted' || outcome.kind === 'rejected') lane.answered(this.#options.nowMs())
    switch (outcome.kind) {
      case 'accepted':
        lane.succeeded(startedMs)
        this.#limit.succeeded()
        if ((await this.#options.mayRecord?.()) === false) this.#returnAll(lane, batch, { ambiguous: true })
        else this.#events.accepted(lane, batch, outcome.answer.requestId)
        break
      case 'retry': {
        if (request.signal.aborted) {
          this.#returnAll(lane, batch, { ambiguous: true })
          break
        }
        const { error, status } = outcome
        const { code, hint } = error
        // The words of a refusal are the API's, and may hold what was sent.
        const reason = status === null || status < 300 ? { error } : { hint }
        this.#options.logger.warn('A request failed and is tried again', { ...facts, code, status, ...reason })
        this.#failed(lane, batch, outcome, startedMs)
        break
      }
      case 'unauthorized':
        this.#halted = true
        this.#returnAll(lane, batch, { ambiguous: false })
        if (!this.#unauthorized) this.#events.unauthorized(outcome.error)
        this.#unauthorized = true
        break
      case 'rejected': {
        const [first] = batch
        if (batch.length === 1 && first !== undefined) {
          this.#events.refused(lane, first, outcome.error, outcome.status)
          break
        }
        // Halves, one after the other, until the object that is refused stands alone.
        const half = Math.ceil(batch.length / 2)
        await this.#sendUnlessHalted(lane, batch.slice(0, half))
        await this.#sendUnlessHalted(lane, batch.slice(half))
      }
    }
  }

  async #sendUnlessHalted(lane: Lane, batch: readonly ObjectSlot[]): Promise<void> {
    if (!this.#halted) await this.#send(lane, batch)
    else this.#returnAll(lane, batch, { ambiguous: false })
  }

  #returnAll(lane: Lane, batch: readonly ObjectSlot[], options: { readonly ambiguous: boolean }): void {
    for (const slot of batch) this.#events.returned(lane, slot, options)
  }

  #failed(
    lane: Lane,
    batch: readonly ObjectSlot[],
    outcome: Extract<Outcome<unknown>, { kind: 'retry' }>,
    startedMs: number,
  ): void {
    const { error, status, ambiguous, throttled, retryAfterMs } = outcome
    this.counts.retries += 1
    if (throttled) {
      this.counts.throttled += 1
      this.#limit.throttled()
    }
    const nowMs = this.#options.nowMs()
    lane.failed({ startedMs, nowMs, retryAfterMs, random: this.#options.random })
    for (const slot of batch) {
      const isToBlame = !throttled && lane.blames(slot, nowMs)
      if (isToBlame) this.#events.refused(lane, slot, error, status)
      else this.#events.returned(lane, slot, { ambiguous })
    }
  }
}
