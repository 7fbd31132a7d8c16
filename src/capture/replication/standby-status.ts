import type { Lsn } from '../../lsn.js'

export interface StandbyStatus {
  /** Received up to here. */
  readonly written: Lsn
  /** Settled up to here: the slot's `confirmed_flush_lsn`. `0n` leaves that where it is. */
  readonly flushed: Lsn
  readonly askForReply: boolean
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

const POSTGRES_EPOCH_MS = 946_684_800_000

/**
 * The standby status update. `pg-logical-replication` writes one of its own, but with one LSN for all three fields, and
 * one byte too far: acking a commit would confirm the adjacent one as well.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export function standbyStatusUpdate(status: StandbyStatus): Buffer {
  const message = Buffer.alloc(34)
  message.write('r')
  message.writeBigUInt64BE(status.written, 1)
  message.writeBigUInt64BE(status.flushed, 9)
  message.writeBigUInt64BE(status.flushed, 17)
  message.writeBigInt64BE(BigInt(Math.floor(status.nowMs) - POSTGRES_EPOCH_MS) * 1000n, 25)
  message.writeUInt8(status.askForReply ? 1 : 0, 33)
  return message
}
