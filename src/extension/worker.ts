import { backoffMs } from '../backoff.js'
import { isSyncError } from '../errors.js'
import type { EventSink } from '../events.js'
import type { Logger } from '../logger.js'

/** A pipeline, as far as the extension steers it. */
export interface Running {
  /** Rejects where it ended by itself. */
  readonly done: Promise<void>
  wake(): void
  rest(): Promise<void>
  stop(): Promise<void>
  abandon(): void
}

export interface WorkerOptions {
  /**
   * Checks what is installed and starts; `null` where nothing runs here.
   * @param tell says once what is wrong and does not stand in the way.
   * @param signal is aborted where it takes too long to be waited for at the end.
   */
  readonly start: (tell: (problem: Error) => void, signal: AbortSignal) => Promise<Running | null>
  readonly stopTimeoutMs: number
  readonly logger: Logger
  readonly events: EventSink
}

/** Quiet, and soon enough for whoever waits for a database that comes back. */
const retry = { baseMs: 1_000, maxMs: 60_000 }

/** Settings that are missing or wrong: no later attempt finds them otherwise. Mistakes of a mapping, a migration may mend. */
function isFinal(error: Error): boolean {
  if (!isSyncError(error)) return false
  return error.code === 'SETTING_MISSING' || (error.code === 'CONFIG_INVALID' && !('mistakes' in error))
}

/**
 * The worker's life in an application: started at the first operation and in the background, again where its failure may
 * mend itself, stopped with the client. Its timers keep no process alive.
 */
export class Worker {
  readonly #options: WorkerOptions
  /** The first attempt, failed or not; `null` until an operation comes. */
  #begun: Promise<void> | null = null
  /** The latest attempt, and what gives it up. */
  #attempt: Promise<void> | null = null
  #starting: AbortController | null = null
  #running: Running | null = null
  #failure: Error | null = null
  #failures = 0
  #startedMs = 0
  #retry: NodeJS.Timeout | null = null
  #stopping: Promise<void> | null = null
  readonly #told = new Set<string>()

  constructor(options: WorkerOptions) {
    this.#options = options
  }

  /** Before every operation. */
  ensure(): void {
    this.#begun ??= this.#start()
  }

  /**
   * Resolves when it runs.
   * @throws why it does not.
   */
  async ready(): Promise<void> {
    this.ensure()
    await this.#begun
    if (this.#failure !== null) throw this.#failure
  }

  wake(): void {
    this.#running?.wake()
  }

  /** Gives back what it holds, so that others need not wait for a process that is frozen after this. */
  async rest(): Promise<void> {
    await this.#running?.rest()
  }

  /** Settles what is in flight. A later operation starts it anew. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => {
      this.#begun = null
      this.#stopping = null
    })
    return this.#stopping
  }

  #start(): Promise<void> {
    this.#attempt = this.#tryToStart()
    return this.#attempt
  }

  async #tryToStart(): Promise<void> {
    const starting = new AbortController()
    this.#starting = starting
    try {
      const running = await this.#options.start((problem) => this.tell(problem), starting.signal)
      this.#running = running
      this.#failure = null
      this.#startedMs = performance.now()
      running?.done.catch((error: unknown) => this.#ended(error))
    } catch (error) {
      if (!starting.signal.aborted) this.#failed(error)
    } finally {
      this.#starting = null
    }
  }

  #ended(error: unknown): void {
    this.#running = null
    // One that ends soon after each start (the API refuses the key) has not started at all.
    if (performance.now() - this.#startedMs > retry.maxMs) this.#failures = 0
    if (this.#stopping === null) this.#failed(error)
  }

  #failed(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    this.#failure = error
    this.tell(error)
    if (this.#options.events.has('error')) this.#options.events.emit('error', { error })
    if (this.#stopping !== null || isFinal(error)) return
    this.#retry = setTimeout(
      () => {
        this.#retry = null
        void this.#start()
      },
      // At least half of the bound: an API that refuses the key is not to be asked many times a second.
      backoffMs(this.#failures, retry, () => 0.5 + Math.random() / 2),
    ).unref()
    this.#failures += 1
  }

  async #stop(): Promise<void> {
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#retry = null
    let running: Running | null = null
    let late = false
    const timer = setTimeout(() => {
      this.#options.logger.warn('What is in flight was not settled in time; it comes again at the next start')
      late = true
      this.#starting?.abort()
      running?.abandon()
    }, this.#options.stopTimeoutMs)
    try {
      await this.#attempt
      running = this.#running
      // The time was up before it had come up.
      if (late) running?.abandon()
      this.#running = null
      this.#failure = null
      this.#failures = 0
      this.#told.clear()
      await running?.stop()
    } finally {
      clearTimeout(timer)
    }
  }

  /** Says what is wrong: once, however often it is found. */
  tell(problem: Error): void {
    const text = `${'code' in problem ? problem.code : ''} ${problem.message}`
    if (this.#told.has(text)) return
    this.#told.add(text)
    this.#options.logger.error('SafetyKit gets less than it should from this process', { error: problem })
  }
}
