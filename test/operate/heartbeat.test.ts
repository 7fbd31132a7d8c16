import { describe, expect, onTestFinished, test } from 'vitest'
import { isStalled } from '../../src/pipeline/replication/wal-heartbeat.js'
import { rigForTest } from '../support/pipeline.js'
import { createDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'

const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL);
  CREATE TABLE noise (id serial PRIMARY KEY, body text)`
const tables = { 'public.products': { namespace: 'products', fields: { title: true } } }
const heartbeat = { everyMs: 100, deadlineMs: 60_000 }

describe('the heartbeat', () => {
  test('goes through the WAL and back, and the ledger and the status have it', async () => {
    const rig = await rigForTest({ sql, tables, start: false })
    await rig.start({ settings: { slot: { name: rig.db.name }, heartbeat } })
    await soon(() => expect(rig.pipeline.state.heartbeat).toMatchObject({ roundTripMs: expect.any(Number) }))
    await soon(async () => {
      const rows = await rig.side('heartbeats')
      expect(rows).toMatchObject([{ state: 'streaming', slot: rig.db.name, confirmed_lsn: expect.any(String) }])
      expect(rows[0]?.round_trip_ms).toBeGreaterThan(0)
    })
    expect(rig.pipeline.state).toMatchObject({ phase: 'streaming', trouble: null, counts: { stalls: 0 } })
    await rig.stop()
    expect(await rig.side('heartbeats')).toMatchObject([{ state: 'stopped' }])
  })

  test('can be switched off; the process is told of all the same', async () => {
    const rig = await rigForTest({ sql, tables, start: false })
    await rig.start({ settings: { slot: { name: rig.db.name }, heartbeat: { everyMs: null } } })
    await soon(async () => expect(await rig.side('heartbeats')).toMatchObject([{ state: 'streaming' }]))
    expect(rig.pipeline.state.heartbeat).toBeNull()
  })

  test('of a worker without replication says that it works', async () => {
    const rig = await rigForTest({ sql, tables, start: false })
    const settings = { capture: 'trigger' } as object
    await rig.migrate({ settings })
    await rig.start({ settings })
    await soon(async () => expect(await rig.side('heartbeats')).toMatchObject([{ state: 'working', slot: null }]))
  })

  test('a stream that hangs is noticed, told, and connected anew', async () => {
    const rig = await rigForTest({ sql, tables, start: false })
    await rig.start({ settings: { slot: { name: rig.db.name }, heartbeat: { everyMs: 100, deadlineMs: 2_000 } } })
    await soon(() => expect(rig.pipeline.state.heartbeat).not.toBeNull())
    const { state } = rig.pipeline
    // The process that sends the WAL stands still; the connection is as good as ever.
    const pid = await stopSender(rig.db.name, rig.db.query)
    await soon(() => expect(state.counts.stalls).toBeGreaterThan(0))
    await soon(() => expect(state).toMatchObject({ phase: 'stalled', trouble: expect.stringContaining('hangs') }))
    process.kill(pid, 'SIGCONT')
    await rig.db.query(`INSERT INTO products VALUES (1, 'a')`)
    await soon(() => expect(rig.sent('products')).toHaveProperty('1'))
    await soon(() => expect(state).toMatchObject({ phase: 'streaming', trouble: null }))
    expect(state.counts.reconnects).toBeGreaterThan(0)
  })
})

async function stopSender(slot: string, query: (sql: string, params: unknown[]) => Promise<{ rows: unknown[] }>) {
  const { rows } = await query('SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1', [slot])
  const pid = Number((rows[0] as { pid: number }).pid)
  process.kill(pid, 'SIGSTOP')
  // Whatever becomes of the test: with a process of the server that stands still no database can be dropped.
  onTestFinished(() => {
    try {
      process.kill(pid, 'SIGCONT')
    } catch {
      // It has ended.
    }
  })
  return pid
}

describe('a stall', () => {
  const quiet = { nowMs: 100_000, writtenAtMs: 60_000, lastArrivalMs: 0, deadlineMs: 30_000, stallsInRow: 0 }

  test.each([
    ['a message that was written and not seen within its deadline', {}, true],
    ['not before the deadline', { writtenAtMs: 80_000 }, false],
    ['not while anything else arrives', { lastArrivalMs: 90_000 }, false],
    ['not where no message is awaited', { writtenAtMs: null }, false],
    ['after one in a row, only after twice the deadline', { stallsInRow: 1 }, false],
    ['and then again', { stallsInRow: 1, nowMs: 121_000 }, true],
  ])('%s', (_, facts, stalled) => {
    expect(isStalled({ ...quiet, ...facts })).toBe(stalled)
  })
})

describe('WAL that is none of ours', () => {
  test.each([
    ['of unmapped tables', false],
    ['of another database of the server', true],
  ])('%s is not held back', async (_, elsewhere) => {
    const rig = await rigForTest({ sql, tables })
    const other = elsewhere
      ? await createDatabase({ sql: 'CREATE TABLE noise (id serial PRIMARY KEY, body text)' })
      : rig.db
    try {
      for (let round = 0; round < 4; round += 1) {
        await other.query(`INSERT INTO noise (body) SELECT repeat(md5(n::text), 60) FROM generate_series(1, 4000) n`)
        // The slot's next start has to follow, not only what is confirmed: the server moves it as it writes down what runs.
        await rig.db.query('CHECKPOINT')
      }
      await rig.caughtUp()
      await soon(async () => {
        const { rows } = await rig.db.query<{ behind: number; kept: number }>(
          `SELECT (pg_current_wal_lsn() - confirmed_flush_lsn)::float8 AS behind,
             (pg_current_wal_lsn() - restart_lsn)::float8 AS kept
           FROM pg_replication_slots WHERE slot_name = $1`,
          [rig.db.name],
        )
        expect(rows[0]?.behind).toBeLessThan(4 * 1024 * 1024)
        await rig.db.query('CHECKPOINT')
        expect(rows[0]?.kept).toBeLessThan(16 * 1024 * 1024)
      })
    } finally {
      if (elsewhere) await other.drop()
    }
  })
})
