import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatLsn, parseLsn } from '../../src/lsn.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { recordWal } from './record-wal.js'
import type { Recorder } from './recorder.js'

let db: TestDatabase

beforeAll(async () => {
  db = await createDatabase({
    sql: `
      CREATE TYPE color AS ENUM ('red', 'dark green');
      CREATE DOMAIN price AS numeric(10, 2) CHECK (VALUE >= 0);
      CREATE TABLE kinds (id int PRIMARY KEY, color color, price price, note text);
      CREATE TABLE fulls (id int PRIMARY KEY, body text, note text);
      ALTER TABLE fulls REPLICA IDENTITY FULL;
      CREATE TABLE keyed (a int, b text NOT NULL, note text);
      CREATE UNIQUE INDEX keyed_b ON keyed (b);
      ALTER TABLE keyed REPLICA IDENTITY USING INDEX keyed_b;
      CREATE TABLE "Strange ""Name" ("Id" int PRIMARY KEY, "välue" text);
      ALTER TABLE fulls ALTER body SET STORAGE EXTERNAL;
      CREATE PUBLICATION everything FOR ALL TABLES;`,
  })
})
afterAll(() => db.drop())

const record = (write: () => Promise<void>): Promise<Recorder> => recordWal(db, write)

describe('messages of a real server', () => {
  test('types of enums, and a relation with its columns, identity and key', async () => {
    const seen = await record(async () => {
      await db.query(`INSERT INTO kinds VALUES (1, 'dark green', 1.5, NULL)`)
    })
    expect(seen.of('type')).toContainEqual({ kind: 'type', oid: expect.any(Number), schema: 'public', name: 'color' })
    const [relation] = seen.of('relation')
    expect(relation?.relation).toMatchObject({ schema: 'public', name: 'kinds', replicaIdentity: 'default' })
    expect(relation?.relation.columns.map(({ name, isKey }) => [name, isKey])).toEqual([
      ['id', true],
      ['color', false],
      ['price', false],
      ['note', false],
    ])
    expect(seen.of('insert').map(({ cells }) => cells)).toEqual([['1', 'dark green', '1.50', null]])
  })

  test('begin and commit say where, when and which, and enclose their rows', async () => {
    let xid = 0
    const before = Date.now()
    const seen = await record(async () => {
      const { rows } = await db.query<{ xid: string }>(
        `WITH written AS (INSERT INTO kinds SELECT g FROM generate_series(100, 102) g RETURNING id)
         SELECT txid_current() % (2::bigint ^ 32)::bigint AS xid FROM written`,
      )
      xid = Number(rows[0]?.xid)
    })
    const kinds = seen.messages.map(({ message }) => message.kind).filter((kind) => kind !== 'type')
    expect(kinds).toEqual(['begin', 'relation', 'insert', 'insert', 'insert', 'commit', 'begin', 'message', 'commit'])
    const begin = seen.of('begin')[0]!
    const commit = seen.of('commit')[0]!
    expect(begin.xid).toBe(xid)
    expect(begin.commitLsn).toBe(commit.commitLsn)
    expect(commit.endLsn).toBeGreaterThan(commit.commitLsn)
    // The server's clock is this machine's, or that of a container on it; a minute is apart enough.
    expect(Math.abs(begin.committedAtMs - before)).toBeLessThan(60_000)
    const lsns = seen.messages.flatMap(({ message, lsn }) => (message.kind === 'insert' ? [lsn] : []))
    for (const lsn of lsns) expect(lsn).toBeLessThan(commit.commitLsn)
  })

  test('updates and deletes with the default identity: the old key only when it changed', async () => {
    const seen = await record(async () => {
      await db.query(`INSERT INTO kinds (id, note) VALUES (10, 'a')`)
      await db.query(`UPDATE kinds SET note = 'b' WHERE id = 10`)
      await db.query(`UPDATE kinds SET id = 11 WHERE id = 10`)
      await db.query(`DELETE FROM kinds WHERE id = 11`)
    })
    expect(seen.of('update').map(({ cells, oldCells }) => [cells, oldCells])).toEqual([
      [['10', null, null, 'b'], null],
      [
        ['11', null, null, 'b'],
        ['10', undefined, undefined, undefined],
      ],
    ])
    expect(seen.of('delete').map(({ oldCells }) => oldCells)).toEqual([['11', undefined, undefined, undefined]])
  })

  test('a full identity gives the whole old row, and with it unchanged TOAST values', async () => {
    const long = 'x'.repeat(10_000)
    const seen = await record(async () => {
      await db.query(`INSERT INTO fulls VALUES (1, $1, NULL)`, [long])
      await db.query(`UPDATE fulls SET note = 'b'`)
      await db.query(`DELETE FROM fulls`)
    })
    expect(seen.of('update')[0]).toMatchObject({ cells: ['1', long, 'b'], oldCells: ['1', long, null] })
    expect(seen.of('delete')[0]).toMatchObject({ oldCells: ['1', long, 'b'] })
  })

  test('an identity by index', async () => {
    const seen = await record(async () => {
      await db.query(`INSERT INTO keyed VALUES (1, 'one', NULL)`)
      await db.query(`DELETE FROM keyed`)
    })
    expect(seen.of('relation')[0]?.relation.replicaIdentity).toBe('index')
    expect(seen.of('delete')[0]?.oldCells).toEqual([undefined, 'one', undefined])
  })

  test('quoted and mixed-case names as the catalogue spells them', async () => {
    const seen = await record(async () => {
      await db.query(`INSERT INTO "Strange ""Name" VALUES (1, 'ü')`)
    })
    const { relation } = seen.of('relation')[0]!
    expect([relation.name, relation.columns.map(({ name }) => name)]).toEqual(['Strange "Name', ['Id', 'välue']])
    expect(seen.of('insert')[0]?.cells).toEqual(['1', 'ü'])
  })

  test('truncates of several tables, with their flags', async () => {
    const seen = await record(async () => {
      await db.query('TRUNCATE kinds, fulls RESTART IDENTITY CASCADE')
      await db.query('TRUNCATE kinds')
    })
    expect(
      seen.of('truncate').map(({ relations, cascade, restartIdentity }) => ({
        names: relations.map(({ name }) => name).sort(),
        cascade,
        restartIdentity,
      })),
    ).toEqual([
      { names: ['fulls', 'kinds'], cascade: true, restartIdentity: true },
      { names: ['kinds'], cascade: false, restartIdentity: false },
    ])
  })

  test('logical messages within a transaction and without one', async () => {
    const lsns: string[] = []
    const seen = await record(async () => {
      for (const transactional of [true, false]) {
        const { rows } = await db.query<{ lsn: string }>(
          `SELECT pg_logical_emit_message($1, 'prefix ü', '\\x00ff'::bytea)::text AS lsn`,
          [transactional],
        )
        lsns.push(rows[0]!.lsn)
      }
    })
    const messages = seen.of('message').slice(0, 2)
    expect(messages.map(({ transactional }) => transactional)).toEqual([true, false])
    for (const message of messages) {
      expect(message).toMatchObject({ prefix: 'prefix ü', content: new Uint8Array([0, 255]) })
    }
    expect(formatLsn(messages[1]!.lsn)).toBe(formatLsn(parseLsn(lsns[1]!)))
  })

  test('the origin of a transaction that was replicated to this server', async () => {
    const name = `elsewhere_${db.name}`
    const client = await db.client()
    await client.query('SELECT pg_replication_origin_create($1)', [name])
    const seen = await record(async () => {
      await client.query('SELECT pg_replication_origin_session_setup($1)', [name])
      await client.query('BEGIN')
      await client.query(`SELECT pg_replication_origin_xact_setup('0/AABBCC', now())`)
      await client.query(`INSERT INTO kinds (id) VALUES (77)`)
      await client.query('COMMIT')
    })
    await client.query('SELECT pg_replication_origin_session_reset()')
    await client.query('SELECT pg_replication_origin_drop($1)', [name])
    expect(seen.of('origin')).toEqual([{ kind: 'origin', originLsn: expect.any(BigInt), name }])
    expect(seen.of('insert')[0]?.cells[0]).toBe('77')
  })

  test('a column added, renamed and dropped in mid-stream is described before the next row', async () => {
    const seen = await record(async () => {
      await db.query(`CREATE TABLE shapes (id int PRIMARY KEY, a text)`)
      await db.query(`INSERT INTO shapes VALUES (1, 'a')`)
      await db.query(`ALTER TABLE shapes ADD b int DEFAULT 5`)
      await db.query(`INSERT INTO shapes VALUES (2, 'a')`)
      await db.query(`ALTER TABLE shapes RENAME a TO c`)
      await db.query(`INSERT INTO shapes VALUES (3, 'c')`)
      await db.query(`ALTER TABLE shapes DROP c`)
      await db.query(`INSERT INTO shapes VALUES (4)`)
    })
    expect(
      seen.of('insert').map(({ relation, cells }) => relation.columns.map(({ name }, index) => [name, cells[index]])),
    ).toEqual([
      [
        ['id', '1'],
        ['a', 'a'],
      ],
      [
        ['id', '2'],
        ['a', 'a'],
        ['b', '5'],
      ],
      [
        ['id', '3'],
        ['c', 'c'],
        ['b', '5'],
      ],
      [
        ['id', '4'],
        ['b', '5'],
      ],
    ])
  })
})
