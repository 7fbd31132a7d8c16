import { setTimeout as sleep } from 'node:timers/promises'
import type { SyncError } from '../errors.js'
import type { Following, OpenRequest, ResultStore } from '../ledger/results.js'
import type { Logger } from '../logger.js'
import type { Followed, Follower } from './follow.js'
import { idleMs, nextLookMs, restMs } from './pace.js'
import type { WaitingWebhooks } from './waiting-webhooks.js'

export interface PollerOptions {
  readonly following: Following
  readonly store: ResultStore
  readonly follower: Follower
  readonly waiting: WaitingWebhooks
  /** One process at a time does this: `null` where it is another one; the signal is aborted once it is another one. */
  readonly lease: { acquire(): Promise<AbortSignal | null>; release(): Promise<void> }
  /** The API refuses the key. */
  readonly onUnauthorized: (error: SyncError) => void
  readonly logger: Logger
  /** Default: `Math.random`. */
  readonly random?: () => number
}

/** Requests of one look. */
const maxDue = 64
/** Adds that are asked about at once. Few: the delivery shares the connections. */
const concurrency = 4
/** Imports whose results are read at once, beside the looks. */
const maxImports = 2
/** Adds that are closed at once where nothing is asked for. */
const maxClosed = 10_000

/** Follows the requests that SafetyKit has not finished. Keeps no process alive. */
export class Poller {
  readonly #options: PollerOptions
  readonly #stopping = new AbortController()
  readonly #running: Promise<void>
  /** Imports, by request. */
  readonly #inHand = new Map<string, Promise<void>>()
  /** Aborted to rest, and at the end. */
  #turn = new AbortController()
  #looking: Promise<number> = Promise.resolve(0)
  #resting: Promise<void> | null = null
  #failures = 0
  #restUntilMs = 0

  constructor(options: PollerOptions) {
    this.#options = options
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#turn.abort()
    await this.#running
  }

  /**
   * Gives up its turn, and the lease with it: whoever looks next, in this process or another one, goes on. Resolves once it
   * has; for a process that may be frozen then.
   */
  rest(): Promise<void> {
    this.#resting ??= this.#rest().finally(() => {
      this.#resting = null
    })
    return this.#resting
  }

  async #rest(): Promise<void> {
    this.#turn.abort()
    await this.#looking.catch(() => {})
    await Promise.all(this.#inHand.values())
    // Else it ends by itself.
    await this.#options.lease.release().catch(() => {})
    if (!this.#stopping.signal.aborted) this.#turn = new AbortController()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    const { logger } = this.#options
    while (!signal.aborted) {
      let waitMs = idleMs
      const turn = this.#turn.signal
      try {
        if (!turn.aborted) {
          this.#looking = this.#look(turn)
          waitMs = await this.#looking
        }
      } catch (error) {
        if (turn.aborted) continue
        logger.error('The results of requests could not be taken, trying again', { error })
        this.#failed(null)
      }
      waitMs = Math.max(waitMs, this.#restUntilMs - performance.now())
      await sleep(waitMs, undefined, { signal, ref: false }).catch(() => {})
    }
    await Promise.all(this.#inHand.values())
    // Else it ends by itself.
    await this.#options.lease.release().catch(() => {})
  }

  /** Returns how long to wait for the next one. */
  async #look(turn: AbortSignal): Promise<number> {
    const { following, store, follower, waiting, lease } = this.#options
    if (this.#inHand.size === 0 && !(await store.isAnyDue(following))) {
      await lease.release()
      return idleMs
    }
    const held = await lease.acquire()
    if (held === null || turn.aborted) return idleMs
    const signal = AbortSignal.any([held, turn])
    await waiting.look(signal)
    if (following === 'off' && (await store.closeAdds(maxClosed)) === maxClosed) return 0
    const due = await store.due({
      following,
      limit: maxDue,
      imports: this.#inHand.size < maxImports,
      except: [...this.#inHand.keys()],
    })
    if (due.some(({ expired }) => expired)) await follower.giveUp()
    const left = await this.#withoutEvaluated(due.filter(({ expired }) => !expired))
    for (const request of left.filter(({ kind }) => kind === 'import')) {
      if (this.#inHand.size < maxImports) this.#start(request, signal)
    }
    await this.#ask(left.filter(({ kind }) => kind === 'add').values(), signal)
    return nextLookMs(due.length, maxDue)
  }

  /** Those that webhooks have answered need not be asked about. */
  async #withoutEvaluated(requests: readonly OpenRequest[]): Promise<readonly OpenRequest[]> {
    const { following, store } = this.#options
    if (following !== 'webhook' || requests.length === 0) return requests
    const completed = await store.completeEvaluated(requests.map(({ requestId }) => requestId))
    return requests.filter(({ requestId }) => !completed.has(requestId))
  }

  async #ask(requests: IterableIterator<OpenRequest>, signal: AbortSignal): Promise<void> {
    const lane = async (): Promise<void> => {
      for (const request of requests) {
        await this.#follow(request, signal)
        if (signal.aborted || performance.now() < this.#restUntilMs) return
      }
    }
    await Promise.all(Array.from({ length: concurrency }, lane))
  }

  #start(request: OpenRequest, signal: AbortSignal): void {
    const { requestId, namespace } = request
    const done = this.#follow(request, signal)
      .catch((error: unknown) => {
        if (signal.aborted) return
        this.#options.logger.error('The results of an import could not be taken, trying again', {
          namespace,
          requestId,
          error,
        })
        this.#failed(null)
      })
      .finally(() => this.#inHand.delete(requestId))
    this.#inHand.set(requestId, done)
  }

  async #follow(request: OpenRequest, signal: AbortSignal): Promise<void> {
    const followed: Followed = await this.#options.follower.follow(request, signal)
    if (signal.aborted) return
    if (followed === 'answered') this.#failures = 0
    else if (followed.kind === 'unauthorized') this.#options.onUnauthorized(followed.error)
    else if (followed.kind === 'retry') {
      const { status, retryAfterMs, error } = followed
      this.#options.logger.debug('The API could not say how a request stands', { status, retryAfterMs, error })
      this.#failed(retryAfterMs)
    }
  }

  /** Nothing is asked for a while, of anyone. */
  #failed(retryAfterMs: number | null): void {
    const nowMs = performance.now()
    // Those that were under way together have failed together.
    if (nowMs >= this.#restUntilMs) this.#failures += 1
    const until = nowMs + restMs(this.#failures, retryAfterMs, this.#options.random ?? Math.random)
    this.#restUntilMs = Math.max(this.#restUntilMs, until)
  }
}
