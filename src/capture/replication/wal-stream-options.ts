import type { ClientConfig } from 'pg'
import type { Logger } from '../../logger.js'
import type { Lsn } from '../../lsn.js'
import type { LivenessTimings } from './liveness.js'
import type { SelectColumns } from './pgoutput.js'
import type { PgoutputMessage, SkippedMessage, UnreadableMessage } from './pgoutput-messages.js'

/** What the consumer gets to see. */
export type StreamMessage = Exclude<PgoutputMessage, SkippedMessage | UnreadableMessage>

/** The consumer's side. All of it is called synchronously; what it throws ends the stream for good. */
export interface WalConsumer {
  /** Which columns of a relation are decoded; `null` skips its rows. Asked again whenever the relation is described. */
  readonly select: SelectColumns
  /** A new attempt begins at the slot's `confirmed_flush_lsn`: a fresh watermark is due. */
  onStart(): void
  /** `lsn` is where the WAL record of the message starts. */
  onMessage(message: StreamMessage, lsn: Lsn): void
  /** Everything up to `walEnd` has been sent. */
  onKeepalive(walEnd: Lsn): void
  /** What may be acked: exactly the end of the last transaction that is settled with all before it; `0n` for nothing. */
  confirmed(): Lsn
}

export interface WalStreamTimings {
  /** How often progress is acked. Default: 250. */
  readonly ackIntervalMs: number
  /** Reads smaller than this are coalesced. Default: 32 KiB. */
  readonly coalesceBytes: number
  /** How long the socket rests after a small read of a thin stream. Default: 1. */
  readonly coalesceMs: number
  /** How long it rests in a dense stream. Default: 8. */
  readonly coalesceDenseMs: number
  /** How long connecting and starting may take. Default: 30,000. */
  readonly startTimeoutMs: number
  /** How long the server may take to see our end; then the socket is destroyed. Default: 2,000. */
  readonly closeTimeoutMs: number
  /** The first wait before connecting again is at most this long. Default: 100. */
  readonly retryBaseMs: number
  /** No wait is longer. Default: 5,000. */
  readonly retryMaxMs: number
  /** What follows from the server's `wal_sender_timeout`, unless it is given here. */
  readonly liveness: Partial<LivenessTimings>
}

export const defaultTimings: WalStreamTimings = {
  ackIntervalMs: 250,
  coalesceBytes: 32 * 1024,
  coalesceMs: 1,
  coalesceDenseMs: 8,
  startTimeoutMs: 30_000,
  closeTimeoutMs: 2_000,
  retryBaseMs: 100,
  retryMaxMs: 5_000,
  liveness: {},
}

/** What an attempt needs to know. */
export interface AttemptOptions {
  /** Where the server is; `replication` is added. */
  readonly connection: ClientConfig
  readonly slot: string
  readonly publication: string
  /** SQL that is run before the stream starts, so that values are written as every other door reads them; may be empty. */
  readonly sessionSettings: string
  readonly consumer: WalConsumer
  readonly logger: Logger
  readonly timings: WalStreamTimings
  /** A clock in milliseconds that never goes back. */
  readonly now: () => number
}
