import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Cell, Relation } from '../../src/capture/change.js'
import { PgoutputParser } from '../../src/capture/replication/pgoutput.js'
import { encode } from './encode-pgoutput.js'

const all = (relation: Relation) => ({ columns: relation.columns.map((_, index) => index) })

const identifier = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }).filter((name) => !name.includes('\0'))
const oid = fc.integer({ min: 1, max: 0xffff_ffff })
const lsn = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n })
const time = fc.integer({ min: Date.UTC(1990), max: Date.UTC(2100) })
const text = fc.string({ maxLength: 300, unit: 'binary' })
const cell: fc.Arbitrary<Cell> = fc.oneof(
  { arbitrary: text, weight: 4 },
  fc.constantFrom('', 't', 'f', '7', 'é', '\u{1F600}', 'a\u0000b'),
  fc.constant(null),
  fc.constant(undefined),
)
const relation: fc.Arbitrary<Relation> = fc.record({
  oid,
  schema: identifier,
  name: identifier,
  replicaIdentity: fc.constantFrom('default', 'nothing', 'full', 'index'),
  columns: fc.array(fc.record({ name: identifier, typeOid: oid, isKey: fc.boolean() }), {
    minLength: 1,
    maxLength: 12,
  }),
})
const rowOf = ({ columns }: Relation) => fc.array(cell, { minLength: columns.length, maxLength: columns.length })
const relationAndRows = relation.chain((r) => fc.tuple(fc.constant(r), rowOf(r), rowOf(r)))

const products: Relation = {
  oid: 7,
  schema: 'public',
  name: 'products',
  replicaIdentity: 'default',
  columns: [
    { name: 'id', typeOid: 20, isKey: true },
    { name: 'title', typeOid: 25, isKey: false },
  ],
}

function parserOf(described: Relation, select = all): PgoutputParser {
  const parser = new PgoutputParser((r) => select(r))
  parser.parse(encode.relation(described))
  return parser
}

describe('every message of the protocol is read as it was written', () => {
  test('begin, commit, origin, type and logical messages', () => {
    fc.assert(
      fc.property(
        lsn,
        lsn,
        time,
        oid,
        identifier,
        identifier,
        fc.uint8Array(),
        fc.boolean(),
        (a, b, ms, n, x, y, c, t) => {
          const parser = new PgoutputParser(all)
          expect(parser.parse(encode.begin(a, ms, n))).toEqual({
            kind: 'begin',
            commitLsn: a,
            committedAtMs: ms,
            xid: n,
          })
          expect(parser.parse(encode.commit(a, b, ms))).toEqual({
            kind: 'commit',
            commitLsn: a,
            endLsn: b,
            committedAtMs: ms,
          })
          expect(parser.parse(encode.origin(a, x))).toEqual({ kind: 'origin', originLsn: a, name: x })
          expect(parser.parse(encode.type(n, x, y))).toEqual({ kind: 'type', oid: n, schema: x, name: y })
          expect(parser.parse(encode.message(t, a, x, c))).toEqual({
            kind: 'message',
            transactional: t,
            lsn: a,
            prefix: x,
            content: c,
          })
        },
      ),
    )
  })

  test('relations, and truncates of several', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(relation, { selector: (r) => r.oid, minLength: 1, maxLength: 5 }),
        fc.record({ cascade: fc.boolean(), restartIdentity: fc.boolean() }),
        (relations, flags) => {
          const parser = new PgoutputParser(() => null)
          for (const r of relations) expect(parser.parse(encode.relation(r))).toEqual({ kind: 'relation', relation: r })
          const oids = relations.map((r) => r.oid)
          expect(parser.parse(encode.truncate(oids, flags))).toEqual({ kind: 'truncate', relations, ...flags })
        },
      ),
    )
  })

  test('inserts and updates, null apart from what is not there', () => {
    fc.assert(
      fc.property(relationAndRows, ([r, row]) => {
        const parser = parserOf(r)
        const insert = encode.insert(r.oid, row)
        expect(parser.parse(insert)).toEqual({
          kind: 'insert',
          relation: r,
          cells: row,
          oldCells: null,
          bytes: insert.length,
        })
        expect(parser.parse(encode.update(r.oid, row))).toMatchObject({ kind: 'update', cells: row, oldCells: null })
      }),
    )
  })

  test('the old row of a key: what is not in the key is not there, rather than null', () => {
    fc.assert(
      fc.property(relationAndRows, ([r, row, old]) => {
        const parser = parserOf(r)
        const sent = old.map((value, column) => (r.columns[column]!.isKey ? value : null))
        const expected = old.map((value, column) => (r.columns[column]!.isKey ? value : undefined))
        const update = parser.parse(encode.update(r.oid, row, { kind: 'K', row: sent }))
        expect(update).toMatchObject({ kind: 'update', cells: row, oldCells: expected })
        const deleted = parser.parse(encode.delete(r.oid, 'K', sent))
        expect(deleted).toMatchObject({ kind: 'delete', cells: null, oldCells: expected })
      }),
    )
  })

  test('the old row of a full identity: nulls are nulls, and it fills in the unchanged TOAST values of the new row', () => {
    fc.assert(
      fc.property(relationAndRows, ([r, row, old]) => {
        const parser = parserOf(r)
        const update = parser.parse(encode.update(r.oid, row, { kind: 'O', row: old }))
        const filled = row.map((value, column) => (value === undefined ? old[column] : value))
        expect(update).toMatchObject({ kind: 'update', cells: filled, oldCells: old })
        expect(parser.parse(encode.delete(r.oid, 'O', old))).toMatchObject({ kind: 'delete', oldCells: old })
      }),
    )
  })
})

describe('only what is wanted is decoded', () => {
  test('the wanted columns come in the wanted order', () => {
    const selection = relationAndRows.chain(([r, row, old]) =>
      fc.tuple(
        fc.constant(r),
        fc.constant(row),
        fc.constant(old),
        fc.shuffledSubarray(r.columns.map((_, index) => index)),
      ),
    )
    fc.assert(
      fc.property(selection, ([r, row, old, columns]) => {
        const parser = parserOf(r, () => ({ columns }))
        const cells = columns.map((column) => row[column])
        expect(parser.parse(encode.insert(r.oid, row))).toMatchObject({ cells })
        const sent = old.map((value, column) => (r.columns[column]!.isKey ? value : null))
        expect(parser.parse(encode.delete(r.oid, 'K', sent))).toMatchObject({
          oldCells: columns.map((column) => (r.columns[column]!.isKey ? old[column] : undefined)),
        })
      }),
    )
  })

  test('the rows of a relation that nobody wants are skipped without an object being made', () => {
    const parser = new PgoutputParser(() => null)
    parser.parse(encode.relation(products))
    const skipped = parser.parse(encode.insert(7, ['1', 'a']))
    expect(skipped).toEqual({ kind: 'skipped' })
    expect(parser.parse(encode.update(7, ['1', 'a']))).toBe(skipped)
    expect(parser.parse(encode.delete(7, 'K', ['1', null]))).toBe(skipped)
  })

  test('a relation that is described again with another shape is asked about again, and is another object', () => {
    const seen: Relation[] = []
    const parser = new PgoutputParser((r) => {
      seen.push(r)
      return all(r)
    })
    parser.parse(encode.relation(products))
    const first = parser.parse(encode.insert(7, ['1', 'a']))
    const second = parser.parse(encode.insert(7, ['2', 'b']))
    parser.parse(
      encode.relation({ ...products, columns: [...products.columns, { name: 'price', typeOid: 23, isKey: false }] }),
    )
    const third = parser.parse(encode.insert(7, ['3', 'c', '5']))
    expect(seen).toHaveLength(2)
    expect(first).toHaveProperty('relation', seen[0])
    expect((second as { relation: unknown }).relation).toBe(seen[0])
    expect((third as { relation: unknown }).relation).toBe(seen[1])
  })
})

describe('what cannot be read is told, never thrown', () => {
  const relationMessage = encode.relation(products)
  const messages = [
    encode.begin(1n, Date.UTC(2026), 3),
    encode.commit(1n, 2n, Date.UTC(2026)),
    encode.origin(1n, 'elsewhere'),
    encode.type(9, 'public', 'color'),
    relationMessage,
    encode.insert(7, ['1', 'a title']),
    encode.update(7, ['1', 'a title'], { kind: 'K', row: ['2', null] }),
    encode.delete(7, 'O', ['1', 'a title']),
    encode.truncate([7, 7], { cascade: true, restartIdentity: true }),
    encode.message(true, 1n, 'prefix', Buffer.from('content')),
  ]
  const parser = (): PgoutputParser => {
    const fresh = new PgoutputParser(all)
    fresh.parse(relationMessage)
    return fresh
  }
  const broken = { kind: 'unreadable', error: expect.objectContaining({ code: 'STREAM_BROKEN', retryable: true }) }

  test('a message that is cut short anywhere, or too long', () => {
    for (const message of messages) {
      for (let length = 0; length < message.length; length++) {
        expect(
          parser().parse(message.subarray(0, length)),
          `${message.toString('latin1', 0, 1)} cut to ${length}`,
        ).toEqual(broken)
      }
      expect(parser().parse(Buffer.concat([message, Buffer.from([0])]))).toEqual(broken)
    }
  })

  test('any bytes at all', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc
        .tuple(fc.constantFrom(...messages), fc.nat(), fc.nat(255))
        .map(([message, at, value]) =>
          Buffer.from(message).fill(value, at % message.length, (at % message.length) + 1),
        ),
    )
    fc.assert(
      fc.property(bytes, (message) => {
        expect(parser().parse(Buffer.from(message)).kind).toBeTypeOf('string')
      }),
      { numRuns: 2_000 },
    )
  })

  test('an unknown kind, a relation that was never described, a row of the wrong width, a binary value', () => {
    expect(parser().parse(Buffer.from('S\0\0\0\u0001'))).toEqual(broken)
    expect(parser().parse(encode.insert(8, ['1', 'a']))).toEqual(broken)
    expect(parser().parse(encode.insert(7, ['1']))).toEqual(broken)
    const binary = encode.insert(7, ['1', 'a'])
    binary.write('b', binary.indexOf('t', 8), 'latin1')
    expect(parser().parse(binary)).toEqual(broken)
  })

  test('an error of whoever chooses the columns', () => {
    const failing = new PgoutputParser(() => {
      throw new Error('no plan')
    })
    expect(failing.parse(relationMessage)).toEqual(broken)
    const twice = new PgoutputParser(() => ({ columns: [0, 0] }))
    expect(twice.parse(relationMessage)).toEqual({
      kind: 'unreadable',
      error: expect.objectContaining({ code: 'INTERNAL' }),
    })
  })

  test('nothing that was read changes when the connection reuses its buffer', () => {
    const message = encode.insert(7, ['1', 'a title'])
    const row = parser().parse(message)
    const content = encode.message(true, 1n, 'prefix', Buffer.from('content'))
    const logical = parser().parse(content)
    message.fill(0)
    content.fill(0)
    expect(row).toMatchObject({ cells: ['1', 'a title'] })
    expect(logical).toMatchObject({ prefix: 'prefix', content: new Uint8Array(Buffer.from('content')) })
  })
})
