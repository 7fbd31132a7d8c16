import { SyncError } from '../../errors.js'
import type { Cell, Relation, RelationColumn } from '../change.js'
import type { PgoutputMessage, SkippedMessage } from './pgoutput-messages.js'

/** Which columns of a relation are decoded: distinct indices into `relation.columns`, in the order cells are wanted. */
export interface ColumnSelection {
  readonly columns: readonly number[]
}

/** Asked once for each relation message; `null` skips the relation's rows. */
export type SelectColumns = (relation: Relation) => ColumnSelection | null

interface RelationPlan {
  readonly relation: Relation
  /** Column → where its cell goes, `-1` for nowhere; `null` when the relation is skipped. */
  readonly targets: Int32Array | null
  /** Copied for each row: faster than filling a new array. */
  readonly empty: readonly Cell[]
}

const SKIPPED: SkippedMessage = Object.freeze({ kind: 'skipped' })
/** Microseconds since 2000 are what Postgres counts in. */
const POSTGRES_EPOCH_MS = 946_684_800_000
/** Flags and digits are most of what a table holds: a look-up takes 4 ns, a call into the decoder 40. */
const ASCII: readonly string[] = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))

/**
 * Reads pgoutput's protocol 1, message by message. `parse` is synchronous, never throws, and keeps nothing of the
 * buffer, which the connection overwrites with its next read. Only wanted columns are decoded: decoding is where the
 * time goes.
 */
export class PgoutputParser {
  readonly #select: SelectColumns
  readonly #plans = new Map<number, RelationPlan>()
  #buffer: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(select: SelectColumns) {
    this.#select = select
  }

  parse(buffer: Buffer): PgoutputMessage {
    this.#buffer = buffer
    this.#at = 0
    try {
      const message = this.#message()
      if (message !== SKIPPED && this.#at !== buffer.length) throw unreadable('its length is wrong')
      return message
    } catch (cause) {
      if (cause instanceof SyncError) return { kind: 'unreadable', error: cause }
      const what = cause instanceof RangeError ? 'it is cut short' : 'its relation could not be taken'
      return { kind: 'unreadable', error: unreadable(what, cause) }
    }
  }

  #message(): PgoutputMessage {
    const tag = this.#byte()
    switch (tag) {
      case 0x49: // I
        return this.#insert()
      case 0x55: // U
        return this.#update()
      case 0x44: // D
        return this.#delete()
      case 0x42: // B
        return { kind: 'begin', commitLsn: this.#lsn(), committedAtMs: this.#time(), xid: this.#uint32() }
      case 0x43: // C
        this.#byte() // flags, unused
        return { kind: 'commit', commitLsn: this.#lsn(), endLsn: this.#lsn(), committedAtMs: this.#time() }
      case 0x52: // R
        return this.#relation()
      case 0x59: // Y
        return { kind: 'type', oid: this.#uint32(), schema: this.#string(), name: this.#string() }
      case 0x4f: // O
        return { kind: 'origin', originLsn: this.#lsn(), name: this.#string() }
      case 0x54: // T
        return this.#truncate()
      case 0x4d: // M
        return this.#logicalMessage()
      default:
        throw unreadable(`its kind ${tag} is unknown`)
    }
  }

  #insert(): PgoutputMessage {
    const plan = this.#plan()
    if (plan.targets === null) return SKIPPED
    this.#expectNewTuple(this.#byte())
    const cells = this.#tuple(plan, plan.targets)
    return { kind: 'insert', relation: plan.relation, cells, oldCells: null, bytes: this.#buffer.length }
  }

  #update(): PgoutputMessage {
    const plan = this.#plan()
    const { relation, targets } = plan
    if (targets === null) return SKIPPED
    const bytes = this.#buffer.length
    const first = this.#byte()
    if (first !== 0x4b && first !== 0x4f) {
      this.#expectNewTuple(first)
      return { kind: 'update', relation, cells: this.#tuple(plan, targets), oldCells: null, bytes }
    }
    const oldCells = this.#oldTuple(first, plan, targets)
    this.#expectNewTuple(this.#byte())
    const cells = this.#tuple(plan, targets)
    // With a full identity the old row holds the TOAST values that the new row leaves out as unchanged.
    if (first === 0x4f) for (const [i, cell] of cells.entries()) if (cell === undefined) cells[i] = oldCells[i]
    return { kind: 'update', relation, cells, oldCells, bytes }
  }

  #delete(): PgoutputMessage {
    const plan = this.#plan()
    if (plan.targets === null) return SKIPPED
    const oldCells = this.#oldTuple(this.#byte(), plan, plan.targets)
    return { kind: 'delete', relation: plan.relation, cells: null, oldCells, bytes: this.#buffer.length }
  }

  #plan(): RelationPlan {
    const oid = this.#uint32()
    const plan = this.#plans.get(oid)
    if (plan === undefined) throw unreadable(`its relation ${oid} was never described`)
    return plan
  }

  #expectNewTuple(tag: number): void {
    if (tag !== 0x4e) throw unreadable(`a row of the unknown kind ${tag}`) // N
  }

  #oldTuple(tag: number, plan: RelationPlan, targets: Int32Array): Cell[] {
    if (tag === 0x4f) return this.#tuple(plan, targets) // O: the whole row
    if (tag !== 0x4b) throw unreadable(`a row of the unknown kind ${tag}`) // K: the identity, all else as null
    const cells = this.#tuple(plan, targets)
    for (const [column, { isKey }] of plan.relation.columns.entries()) {
      const target = targets[column] ?? -1
      if (!isKey && target >= 0) cells[target] = undefined
    }
    return cells
  }

  #tuple(plan: RelationPlan, targets: Int32Array): Cell[] {
    const buffer = this.#buffer
    const count = buffer.readUInt16BE(this.#at)
    if (count !== targets.length) throw unreadable(`a row of ${count} columns for a relation of ${targets.length}`)
    const cells = plan.empty.slice()
    let at = this.#at + 2
    for (let column = 0; column < count; column++) {
      const kind = buffer[at++]
      const target = targets[column] ?? -1
      if (kind === 0x74) {
        // t: text
        const start = at + 4
        at = start + buffer.readInt32BE(at)
        if (target >= 0) cells[target] = text(buffer, start, at)
      } else if (kind === 0x6e) {
        // n: null
        if (target >= 0) cells[target] = null
      } else if (kind !== 0x75) {
        // u is an unchanged TOAST value; b, binary, is never asked for
        throw unreadable(`a value of the unknown kind ${kind}`)
      }
    }
    this.#at = at
    return cells
  }

  #relation(): PgoutputMessage {
    const oid = this.#uint32()
    // pg_catalog is sent as the empty string.
    const schema = this.#string() || 'pg_catalog'
    const name = this.#string()
    const replicaIdentity = identityOf(this.#byte())
    const columns = Array.from({ length: this.#uint16() }, (): RelationColumn => {
      const isKey = (this.#byte() & 1) === 1
      const column = { name: this.#string(), typeOid: this.#uint32(), isKey }
      this.#uint32() // the type's modifier
      return column
    })
    const relation: Relation = { oid, schema, name, replicaIdentity, columns }
    this.#plans.set(oid, planOf(relation, this.#select(relation)))
    return { kind: 'relation', relation }
  }

  #truncate(): PgoutputMessage {
    const count = this.#uint32()
    const flags = this.#byte()
    const relations: Relation[] = []
    for (let i = 0; i < count; i++) relations.push(this.#plan().relation)
    return { kind: 'truncate', relations, cascade: (flags & 1) === 1, restartIdentity: (flags & 2) === 2 }
  }

  #logicalMessage(): PgoutputMessage {
    const transactional = (this.#byte() & 1) === 1
    const lsn = this.#lsn()
    const prefix = this.#string()
    const start = this.#at + 4
    const end = start + this.#uint32()
    if (end > this.#buffer.length) throw unreadable('it is cut short')
    this.#at = end
    return { kind: 'message', transactional, lsn, prefix, content: new Uint8Array(this.#buffer.subarray(start, end)) }
  }

  #byte(): number {
    return this.#buffer.readUInt8(this.#at++)
  }

  #uint16(): number {
    this.#at += 2
    return this.#buffer.readUInt16BE(this.#at - 2)
  }

  #uint32(): number {
    this.#at += 4
    return this.#buffer.readUInt32BE(this.#at - 4)
  }

  #lsn(): bigint {
    this.#at += 8
    return this.#buffer.readBigUInt64BE(this.#at - 8)
  }

  #time(): number {
    this.#at += 8
    return Math.floor(Number(this.#buffer.readBigInt64BE(this.#at - 8)) / 1000) + POSTGRES_EPOCH_MS
  }

  #string(): string {
    const end = this.#buffer.indexOf(0, this.#at)
    if (end < 0) throw unreadable('it is cut short')
    const value = this.#buffer.toString('utf8', this.#at, end)
    this.#at = end + 1
    return value
  }
}

function text(buffer: Buffer, start: number, end: number): string {
  if (end > buffer.length || end < start) throw unreadable('it is cut short')
  return (end - start === 1 ? ASCII[buffer[start] ?? 0] : undefined) ?? buffer.toString('utf8', start, end)
}

function planOf(relation: Relation, selection: ColumnSelection | null): RelationPlan {
  if (selection === null) return { relation, targets: null, empty: [] }
  const targets = new Int32Array(relation.columns.length).fill(-1)
  for (const [target, column] of selection.columns.entries()) {
    if (targets[column] !== -1) throw new SyncError('INTERNAL', `column ${column} selected twice, or not there`)
    targets[column] = target
  }
  return { relation, targets, empty: selection.columns.map(() => undefined) }
}

function identityOf(code: number): Relation['replicaIdentity'] {
  switch (code) {
    case 0x64:
      return 'default'
    case 0x6e:
      return 'nothing'
    case 0x66:
      return 'full'
    case 0x69:
      return 'index'
    default:
      throw unreadable(`the replica identity ${code} is unknown`)
  }
}

function unreadable(what: string, cause?: unknown): SyncError {
  return new SyncError('STREAM_BROKEN', `A message of the replication stream cannot be read: ${what}`, {
    retryable: true,
    cause,
  })
}
