import type { Cell, Relation } from '../../src/capture/change.js'

/** Writes pgoutput messages as the server does: the other side of the parser, for its tests. */

const POSTGRES_EPOCH_MS = 946_684_800_000

export type Tuple = readonly Cell[]

export const encode = {
  begin: (commitLsn: bigint, committedAtMs: number, xid: number): Buffer =>
    Buffer.concat([tag('B'), int64(commitLsn), time(committedAtMs), int32(xid)]),
  commit: (commitLsn: bigint, endLsn: bigint, committedAtMs: number): Buffer =>
    Buffer.concat([tag('C'), int8(0), int64(commitLsn), int64(endLsn), time(committedAtMs)]),
  origin: (lsn: bigint, name: string): Buffer => Buffer.concat([tag('O'), int64(lsn), cString(name)]),
  type: (oid: number, schema: string, name: string): Buffer =>
    Buffer.concat([tag('Y'), int32(oid), cString(schema), cString(name)]),
  relation: (relation: Relation): Buffer =>
    Buffer.concat([
      tag('R'),
      int32(relation.oid),
      cString(relation.schema),
      cString(relation.name),
      tag({ default: 'd', nothing: 'n', full: 'f', index: 'i' }[relation.replicaIdentity]),
      int16(relation.columns.length),
      ...relation.columns.flatMap(({ isKey, name, typeOid }) => [
        int8(isKey ? 1 : 0),
        cString(name),
        int32(typeOid),
        Buffer.from([255, 255, 255, 255]),
      ]),
    ]),
  insert: (oid: number, row: Tuple): Buffer => Buffer.concat([tag('I'), int32(oid), tag('N'), tuple(row)]),
  update: (oid: number, row: Tuple, old?: { kind: 'K' | 'O'; row: Tuple }): Buffer =>
    Buffer.concat([
      tag('U'),
      int32(oid),
      ...(old === undefined ? [] : [tag(old.kind), tuple(old.row)]),
      tag('N'),
      tuple(row),
    ]),
  delete: (oid: number, kind: 'K' | 'O', row: Tuple): Buffer =>
    Buffer.concat([tag('D'), int32(oid), tag(kind), tuple(row)]),
  truncate: (oids: readonly number[], flags: { cascade: boolean; restartIdentity: boolean }): Buffer =>
    Buffer.concat([
      tag('T'),
      int32(oids.length),
      int8((flags.cascade ? 1 : 0) | (flags.restartIdentity ? 2 : 0)),
      ...oids.map(int32),
    ]),
  message: (transactional: boolean, lsn: bigint, prefix: string, content: Uint8Array): Buffer =>
    Buffer.concat([
      tag('M'),
      int8(transactional ? 1 : 0),
      int64(lsn),
      cString(prefix),
      int32(content.length),
      Buffer.from(content),
    ]),
}

/** `null` is null, `undefined` an unchanged TOAST value. */
function tuple(row: Tuple): Buffer {
  return Buffer.concat([
    int16(row.length),
    ...row.flatMap((cell) => {
      if (cell === null) return [tag('n')]
      if (cell === undefined) return [tag('u')]
      return [tag('t'), int32(Buffer.byteLength(cell)), Buffer.from(cell)]
    }),
  ])
}

function tag(letter: string): Buffer {
  return Buffer.from(letter, 'latin1')
}

function int8(value: number): Buffer {
  return Buffer.from([value])
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeUInt16BE(value)
  return buffer
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}

function int64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigInt64BE(value)
  return buffer
}

function time(ms: number): Buffer {
  return int64(BigInt(ms - POSTGRES_EPOCH_MS) * 1000n)
}

function cString(value: string): Buffer {
  return Buffer.concat([Buffer.from(value), Buffer.from([0])])
}
