import { setTimeout as wait } from 'node:timers/promises'
import type { ClientConfig } from 'pg'
import { backoffMs } from '../../backoff.js'
import type { SyncError } from '../../errors.js'
import { type Logger, silentLogger } from '../../logger.js'
import { diagnoseStreamError } from './diagnose.js'
import { classifyStreamError, codeOf } from './stream-errors.js'
import { WalAttempt } from './wal-attempt.js'
import { type AttemptOptions, defaultTimings, type WalConsumer, type WalStreamTimings } from './wal-stream-options.js'

export interface WalStreamOptions {
  /** Where the server is; `replication` is added. */
  readonly connection: ClientConfig
  readonly slot: string
  readonly publication: string
  /** SQL that is run before the stream starts. Default: none. */
  readonly sessionSettings?: string
  readonly consumer: WalConsumer
  /** Default: silent. */
  readonly logger?: Logger
  /** Stops the stream, as `stop()` does. */
  readonly signal?: AbortSignal
  readonly timings?: Partial<WalStreamTimings>
  /**
   * Asked about an error that no further attempt would mend: `true` where it has mended it. What it throws ends the stream,
   * or is tried again where that may help.
   */
  readonly mend?: (error: SyncError, signal: AbortSignal) => Promise<boolean>
  /** Is told of each change of the phase, with the status as it is then. */
  readonly onStatus?: (status: WalStreamStatus) => void
  /** Between 0 and 1. Default: `Math.random`. */
  readonly random?: () => number
  /** A clock in milliseconds that never goes back. Default: `performance.now`. */
  readonly now?: () => number
}

export interface WalStreamStatus {
  readonly phase: 'connecting' | 'streaming' | 'waiting' | 'stopped'
  /** Attempts that failed one after the other. */
  readonly failures: number
  /** Connections that had begun to stream and were lost. */
  readonly reconnects: number
  /** Why the last attempt ended; `null` while all is well. */
  readonly lastError: SyncError | null
}

/** Errors that the catalogue has to be asked about before anyone is told what they mean. */
const AMBIGUOUS = new Set(['SLOT_MISSING', 'SLOT_LOST', 'SLOT_FOREIGN'])

/**
 * Reads a slot until it is stopped, over as many attempts as it takes. Each attempt starts at the slot's
 * `confirmed_flush_lsn`, so that everything that was not acked comes again.
 */
export class WalStream {
  readonly #options: AttemptOptions
  readonly #random: () => number
  readonly #onStatus: (status: WalStreamStatus) => void
  readonly #mend: (error: SyncError, signal: AbortSignal) => Promise<boolean>
  readonly #stopping = new AbortController()
  readonly #done: Promise<void>
  #attempt: WalAttempt | null = null
  #phase: WalStreamStatus['phase'] = 'connecting'
  #failures = 0
  #reconnects = 0
  #arrivedBefore = 0
  #pid: number | null = null
  #lastError: SyncError | null = null
  #held = false

  constructor(options: WalStreamOptions) {
    this.#random = options.random ?? Math.random
    this.#onStatus = options.onStatus ?? (() => {})
    this.#mend = options.mend ?? (async () => false)
    this.#options = {
      connection: options.connection,
      slot: options.slot,
      publication: options.publication,
      sessionSettings: options.sessionSettings ?? '',
      consumer: options.consumer,
      logger: options.logger ?? silentLogger,
      timings: { ...defaultTimings, ...options.timings },
      now: options.now ?? (() => performance.now()),
    }
    const abort = (): void => void this.stop()
    options.signal?.addEventListener('abort', abort, { once: true })
    if (options.signal?.aborted) this.#stopping.abort()
    this.#done = this.#run().finally(() => {
      this.#enter('stopped')
      options.signal?.removeEventListener('abort', abort)
    })
    this.#done.catch(() => {})
  }

  /**
   * Resolves once the stream was stopped; rejects with a `SyncError` that no further attempt would mend. Nobody has to
   * listen: it is never an unhandled rejection.
   */
  get done(): Promise<void> {
    return this.#done
  }

  get status(): WalStreamStatus {
    return {
      phase: this.#phase,
      failures: this.#failures,
      reconnects: this.#reconnects,
      lastError: this.#lastError,
    }
  }

  /** Grows with all that brings the stream on: messages, and keepalives that tell of a further position. */
  get arrived(): number {
    return this.#arrivedBefore + (this.#attempt?.arrived ?? 0)
  }

  /** The server's process that serves this stream, or did until the connection was lost; `null` before the first one. */
  get pid(): number | null {
    return this.#pid
  }

  /** Gives up the connection with this error, which says whether another one is made. */
  interrupt(error: SyncError): void {
    this.#attempt?.interrupt(error)
  }

  /** Reads no more from the socket. What was read already still arrives; the connection is kept alive. */
  pause(): void {
    this.#held = true
    this.#attempt?.hold()
  }

  resume(): void {
    this.#held = false
    this.#attempt?.release()
  }

  /** Acks at once what is confirmed, instead of within `ackIntervalMs`: when a pipeline has drained. */
  flushAcks(): void {
    this.#attempt?.flushAcks()
  }

  /** Takes no more, acks a last time and closes; bounded by `closeTimeoutMs`, even if the server is dead. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#attempt?.stop()
    await this.#done.catch(() => {})
  }

  #enter(phase: WalStreamStatus['phase']): void {
    this.#phase = phase
    this.#onStatus(this.status)
  }

  async #run(): Promise<void> {
    const { logger, slot, now, timings } = this.#options
    while (!this.#stopping.signal.aborted) {
      this.#enter('connecting')
      const beganAt = now()
      const failed = await this.#tryOnce()
      if (failed === null || this.#stopping.signal.aborted) return
      const error = failed.retryable ? failed : await this.#mended(failed)
      if (this.#stopping.signal.aborted) return
      if (error === null) continue
      if (!error.retryable) {
        this.#lastError = error
        throw error
      }
      // An attempt that lived for a while was a good one: the next failure is a new story.
      this.#failures = now() - beganAt > timings.retryMaxMs ? 1 : this.#failures + 1
      const delayMs = backoffMs(
        this.#failures - 1,
        { baseMs: timings.retryBaseMs, maxMs: timings.retryMaxMs },
        this.#random,
      )
      const sqlState = codeOf(error.cause)
      const fields = { slot, code: error.code, reason: error.message, sqlState, failures: this.#failures, delayMs }
      // A standby waits for hours in this state; one line tells of it.
      const waitsOn = error.code === 'SLOT_IN_USE' && this.#lastError?.code === 'SLOT_IN_USE'
      logger[waitsOn ? 'debug' : 'warn']('Replication is interrupted and will be tried again', fields)
      this.#lastError = error
      this.#enter('waiting')
      await wait(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => {})
    }
  }

  /** `null` where it is mended, else what keeps it from that. */
  async #mended(error: SyncError): Promise<SyncError | null> {
    try {
      return (await this.#mend(error, this.#stopping.signal)) ? null : error
    } catch (cause) {
      return classifyStreamError(cause)
    }
  }

  /** `null` when the attempt was stopped, else what ended it. */
  async #tryOnce(): Promise<SyncError | null> {
    const { consumer, logger, slot, publication } = this.#options
    const attempt = new WalAttempt(
      {
        ...this.#options,
        consumer: {
          select: (relation) => consumer.select(relation),
          onStart: () => {
            this.#lastError = null
            this.#pid = attempt.pid
            logger.info('Replication has started', { slot, publication })
            consumer.onStart()
            this.#enter('streaming')
          },
          onMessage: (message, lsn) => consumer.onMessage(message, lsn),
          onKeepalive: (walEnd) => consumer.onKeepalive(walEnd),
          confirmed: () => consumer.confirmed(),
        },
      },
      this.#held,
    )
    this.#attempt = attempt
    try {
      await attempt.ended
      return null
    } catch (cause) {
      const error = classifyStreamError(cause)
      if (attempt.started && !this.#stopping.signal.aborted) this.#reconnects += 1
      if (!AMBIGUOUS.has(error.code)) return error
      const { signal } = this.#stopping
      return await diagnoseStreamError(error, this.#options, { started: attempt.started, signal })
    } finally {
      this.#arrivedBefore += attempt.arrived
      this.#attempt = null
    }
  }
}

/** Begins to read at once; see `WalStream`. */
export function openWalStream(options: WalStreamOptions): WalStream {
  return new WalStream(options)
}
