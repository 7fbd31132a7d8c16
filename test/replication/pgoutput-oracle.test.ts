import fc from 'fast-check'
import { LogicalReplicationService, type Pgoutput, PgoutputPlugin } from 'pg-logical-replication'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { recordWal } from './record-wal.js'

let db: TestDatabase

beforeAll(async () => {
  db = await createDatabase({
    sql: `
      CREATE TABLE generated_rows (id int PRIMARY KEY, big bigint, flag bool, body text, toasted text);
      ALTER TABLE generated_rows ALTER toasted SET STORAGE EXTERNAL;
      CREATE PUBLICATION everything FOR ALL TABLES;`,
  })
})
afterAll(() => db.drop())

/** What the library's own parser makes of a row, in our words. */
function cellsOf(relation: Pgoutput.MessageRelation, row: Record<string, unknown> | null): unknown[] | null {
  return row === null ? null : relation.columns.map(({ name }) => row[name])
}

describe("against pg-logical-replication's own parser", () => {
  test('the same WAL gives the same rows', async () => {
    const value = fc
      .oneof(fc.string({ maxLength: 50 }), fc.string({ unit: 'grapheme' }))
      .map((s) => s.replaceAll('\0', ''))
    const long = fc.string({ minLength: 3_000, maxLength: 9_000 }).map((s) => s.replaceAll('\0', ' '))
    const row = fc.record({
      big: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
      flag: fc.option(fc.boolean()),
      body: fc.option(value),
      toasted: fc.option(fc.oneof(value, long)),
    })
    const write = fc.record({
      id: fc.integer({ min: 1, max: 8 }),
      to: fc.integer({ min: 1, max: 8 }),
      row,
      how: fc.constantFrom('upsert', 'touch', 'move', 'delete'),
    })
    const batches = fc.array(fc.array(write, { minLength: 1, maxLength: 10 }), { minLength: 1, maxLength: 5 })

    await fc.assert(
      fc.asyncProperty(batches, async (transactions) => {
        const theirSlot = `t_${db.name}`
        await db.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [theirSlot])
        const ours = await recordWal(db, async () => {
          const client = await db.pool.connect()
          for (const writes of transactions) {
            await client.query('BEGIN')
            for (const { id, to, row, how } of writes) {
              const { big, flag, body, toasted } = row
              if (how === 'upsert') {
                await client.query(
                  `INSERT INTO generated_rows VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (id) DO UPDATE SET big = $2, flag = $3, body = $4, toasted = $5`,
                  [id, big, flag, body, toasted],
                )
              } else if (how === 'touch')
                await client.query('UPDATE generated_rows SET big = $2 WHERE id = $1', [id, big])
              else if (how === 'move') {
                await client.query(
                  'UPDATE generated_rows SET id = $2 WHERE id = $1 AND NOT EXISTS (SELECT FROM generated_rows WHERE id = $2)',
                  [id, to],
                )
              } else await client.query('DELETE FROM generated_rows WHERE id = $1', [id])
            }
            await client.query('COMMIT')
          }
          client.release()
        })

        const theirs: Pgoutput.Message[] = []
        const service = new LogicalReplicationService(
          { connectionString: db.url, types: { getTypeParser: () => String } },
          { acknowledge: { auto: false, timeoutSeconds: 0 } },
        )
        service.on('data', (_lsn, message: Pgoutput.Message) => void theirs.push(message))
        const ended = service
          .subscribe(
            new PgoutputPlugin({ protoVersion: 1, publicationNames: ['everything'], messages: true }),
            theirSlot,
          )
          .catch(() => {})
        await soon(() => expect(theirs.at(-2)).toMatchObject({ tag: 'message', prefix: 'end' }))
        await service.stop()
        await ended
        await soon(async () =>
          expect(
            (await db.query('SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active', [theirSlot])).rows,
          ).toEqual([]),
        )
        await db.query('SELECT pg_drop_replication_slot($1)', [theirSlot])

        const text = (cell: unknown): unknown =>
          cell === true ? 't' : cell === false ? 'f' : typeof cell === 'number' ? String(cell) : cell
        const theirRows = theirs.flatMap((message) => {
          if (message.tag !== 'insert' && message.tag !== 'update' && message.tag !== 'delete') return []
          const old = message.tag === 'insert' ? null : (cellsOf(message.relation, message.key ?? message.old) ?? null)
          const cells = message.tag === 'delete' ? null : cellsOf(message.relation, message.new)
          return [{ kind: message.tag, cells: cells?.map(text) ?? null, oldCells: old?.map(text) ?? null }]
        })
        const ourRows = ours.rows.map(({ message: { kind, cells, oldCells } }) => ({ kind, cells, oldCells }))
        expect(ourRows).toEqual(theirRows)
      }),
      { numRuns: 25 },
    )
  })
})
