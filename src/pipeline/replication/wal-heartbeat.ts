import type { QueryConfig } from 'pg'
import { bounded } from '../../bounded-query.js'
import { SyncError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { LiveState } from '../live-state.js'

/** The prefix of our messages in the WAL. */
export const messagePrefix = 'safetykit-sync'

/** Nothing has to be known sooner than this. */
const mostTickMs = 1_000
const queryTimeoutMs = 10_000
const mostDoublings = 10

interface WalHeartbeatOptions {
  /** The source database. */
  readonly db: { query(query: QueryConfig): Promise<{ rows: Record<string, unknown>[] }> }
  readonly everyMs: number
  readonly deadlineMs: number
  /** Tells this process' messages from those of others on the same database. */
  readonly process: string
  readonly stream: {
    /** Grows with all that brings the stream on. */
    readonly arrived: number
    interrupt(error: SyncError): void
  }
  /** Whether it is we who do not read. */
  readonly isPaused: () => boolean
  readonly state: LiveState
  readonly logger: Logger
}

/** What is known of the stream; all in milliseconds of one clock. */
export interface Quiet {
  readonly nowMs: number
  /** When the message that has not been seen yet was written; `null` where there is none. */
  readonly writtenAtMs: number | null
  /** When the stream last brought anything, or was begun, or was not read by ourselves. */
  readonly lastArrivalMs: number
  readonly deadlineMs: number
  /** Stalls since a message was last seen. */
  readonly stallsInRow: number
}

/**
 * Pure: whether the stream hangs. The deadline doubles with each stall in a row: a server that decodes a huge transaction of
 * other tables sends nothing for long, and begins anew with each new connection.
 */
export function isStalled({ nowMs, writtenAtMs, lastArrivalMs, deadlineMs, stallsInRow }: Quiet): boolean {
  if (writtenAtMs === null) return false
  return nowMs - Math.max(writtenAtMs, lastArrivalMs) > deadlineMs * 2 ** Math.min(stallsInRow, mostDoublings)
}

/**
 * Writes a message into the WAL every so often and looks whether the stream brings it: the whole way from a commit to here,
 * which neither TCP nor the protocol's keepalives tell of (docs/decisions/heartbeat-and-stalls.md).
 */
export class WalHeartbeat {
  readonly #options: WalHeartbeatOptions
  readonly #timer: NodeJS.Timeout
  #streaming = false
  #number = 0
  #begunAtMs = Number.NEGATIVE_INFINITY
  #writing = false
  /** The message that is awaited. */
  #awaited: { readonly content: string; readonly begunAtMs: number; writtenAtMs: number | null } | null = null
  #arrived = 0
  #lastArrivalMs = 0
  #stallsInRow = 0
  #toldOfFailure = false
  #flushes: boolean | null = null

  constructor(options: WalHeartbeatOptions) {
    this.#options = options
    const tickMs = Math.min(options.everyMs / 4, options.deadlineMs / 4, mostTickMs)
    this.#timer = setInterval(() => this.#tick(), tickMs).unref()
  }

  /** The stream begins, for the first time or again: what was written before may not come. */
  onStart(): void {
    this.#streaming = true
    this.#awaited = null
    this.#begunAtMs = Number.NEGATIVE_INFINITY
    this.#lastArrivalMs = performance.now()
  }

  /** The stream has ended, wanted or not. */
  onEnd(): void {
    this.#streaming = false
  }

  /** The stream brings something. */
  onMessage(): void {
    if (this.#stallsInRow > 0) this.#options.state.stalled(null)
  }

  /** A message from the WAL. */
  onLogicalMessage(content: Uint8Array): void {
    const awaited = this.#awaited
    if (awaited === null || Buffer.from(content).toString() !== awaited.content) return
    this.#awaited = null
    this.#stallsInRow = 0
    const { state } = this.#options
    state.heartbeat = { seenAt: new Date(), roundTripMs: performance.now() - awaited.begunAtMs }
    state.stalled(null)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    if (!this.#streaming) return
    const { stream, isPaused, everyMs, deadlineMs, state, logger } = this.#options
    const nowMs = performance.now()
    if (stream.arrived !== this.#arrived || isPaused()) {
      this.#arrived = stream.arrived
      this.#lastArrivalMs = nowMs
    }
    if (this.#awaited === null && !this.#writing && nowMs - this.#begunAtMs >= everyMs) void this.#write()
    const writtenAtMs = this.#awaited?.writtenAtMs ?? null
    const stallsInRow = this.#stallsInRow
    if (!isStalled({ nowMs, writtenAtMs, lastArrivalMs: this.#lastArrivalMs, deadlineMs, stallsInRow })) return
    this.#stallsInRow += 1
    this.#streaming = false
    state.counts.stalls += 1
    const silentMs = Math.round(nowMs - this.#lastArrivalMs)
    logger.error('The replication stream hangs: it does not bring the heartbeat that was written', { silentMs })
    const message = 'The replication stream hangs, and brings nothing'
    state.stalled(message)
    stream.interrupt(new SyncError('STREAM_STALLED', message, { retryable: true }))
  }

  async #write(): Promise<void> {
    const { db, process, logger } = this.#options
    this.#writing = true
    this.#number += 1
    const begunAtMs = performance.now()
    this.#begunAtMs = begunAtMs
    const content = `${process} ${this.#number}`
    try {
      this.#flushes ??= await this.#canFlush()
      const awaited = { content, begunAtMs, writtenAtMs: null as number | null }
      this.#awaited = awaited
      // Without a flush it takes the server's WAL writer to bring it to the disk, and only then is it sent.
      const text = `SELECT pg_catalog.pg_logical_emit_message(false, $1, $2${this.#flushes ? ', true' : ''})`
      await db.query(bounded({ text, values: [messagePrefix, content] }, queryTimeoutMs))
      awaited.writtenAtMs = performance.now()
      this.#toldOfFailure = false
    } catch (error) {
      // Perhaps it was written, perhaps not: it is not waited for.
      if (this.#awaited?.content === content) this.#awaited = null
      logger[this.#toldOfFailure ? 'debug' : 'warn']('The heartbeat could not be written into the WAL', { error })
      this.#toldOfFailure = true
    } finally {
      this.#writing = false
    }
  }

  async #canFlush(): Promise<boolean> {
    const text = `SELECT current_setting('server_version_num')::int >= 170000 AS flushes`
    const { rows } = await this.#options.db.query(bounded({ text }, queryTimeoutMs))
    return rows[0]?.flushes === true
  }
}
