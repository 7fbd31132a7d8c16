import type { SyncError } from '../../errors.js'
import type { Lsn } from '../../lsn.js'
import type { Cell, Relation } from '../change.js'

/**
 * A message of pgoutput's protocol 1, decoded. Nothing in it points into the network buffer.
 * @see https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export type PgoutputMessage =
  | BeginMessage
  | CommitMessage
  | OriginMessage
  | RelationMessage
  | TypeMessage
  | InsertMessage
  | UpdateMessage
  | DeleteMessage
  | TruncateMessage
  | LogicalMessage
  | SkippedMessage
  | UnreadableMessage

/** A message that carries a row. */
export type RowMessage = InsertMessage | UpdateMessage | DeleteMessage

export interface BeginMessage {
  readonly kind: 'begin'
  /** Where the transaction's commit record starts. */
  readonly commitLsn: Lsn
  /** Milliseconds since 1970. */
  readonly committedAtMs: number
  readonly xid: number
}

export interface CommitMessage {
  readonly kind: 'commit'
  readonly commitLsn: Lsn
  /** Where the commit record ends: what is confirmed once the transaction is settled. */
  readonly endLsn: Lsn
  /** Milliseconds since 1970. */
  readonly committedAtMs: number
}

/** The transaction came to this server by replication from another one. */
export interface OriginMessage {
  readonly kind: 'origin'
  readonly originLsn: Lsn
  readonly name: string
}

export interface RelationMessage {
  readonly kind: 'relation'
  readonly relation: Relation
}

/** A type that is not built in; sent before the first relation that uses it. */
export interface TypeMessage {
  readonly kind: 'type'
  readonly oid: number
  readonly schema: string
  readonly name: string
}

export interface InsertMessage {
  readonly kind: 'insert'
  readonly relation: Relation
  /** The wanted columns of the new row, in the order in which they were asked for. */
  readonly cells: readonly Cell[]
  readonly oldCells: null
  /** The size of the message on the wire, for a budget of bytes. */
  readonly bytes: number
}

export interface UpdateMessage {
  readonly kind: 'update'
  readonly relation: Relation
  /** The new row; `undefined` is an unchanged TOAST value that was not sent. */
  readonly cells: readonly Cell[]
  /**
   * The old row, there when the replica identity is full or a column of the identity changed. `undefined` is a column
   * that is not part of the identity.
   */
  readonly oldCells: readonly Cell[] | null
  readonly bytes: number
}

export interface DeleteMessage {
  readonly kind: 'delete'
  readonly relation: Relation
  readonly cells: null
  /** The old row; `undefined` is a column that is not part of the replica identity. */
  readonly oldCells: readonly Cell[]
  readonly bytes: number
}

export interface TruncateMessage {
  readonly kind: 'truncate'
  /** All relations that were truncated together, skipped ones included. */
  readonly relations: readonly Relation[]
  readonly cascade: boolean
  readonly restartIdentity: boolean
}

/** What `pg_logical_emit_message` wrote. */
export interface LogicalMessage {
  readonly kind: 'message'
  /** `false`: it stands outside of any transaction, between `commit` and `begin` or even within another one's rows. */
  readonly transactional: boolean
  readonly lsn: Lsn
  readonly prefix: string
  readonly content: Uint8Array
}

/** A row of a relation that nobody asked for. */
export interface SkippedMessage {
  readonly kind: 'skipped'
}

/** What cannot be read. The stream must end: nothing after it can be trusted. */
export interface UnreadableMessage {
  readonly kind: 'unreadable'
  readonly error: SyncError
}
