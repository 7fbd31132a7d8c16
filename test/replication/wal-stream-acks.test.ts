import { describe, expect, test } from 'vitest'
import { createDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { Recorder } from './recorder.js'
import { streamRig } from './stream-rig.js'

const rig = streamRig()

describe('acks', () => {
  test('under eight writers, a settled commit is confirmed to the byte, and the adjacent one comes again', async () => {
    await rig.createSlot()
    const writers = await Promise.all(Array.from({ length: 8 }, () => rig.db.client()))
    for (let round = 0; round < 50; round++) {
      await Promise.all(
        writers.map((client, writer) => client.query(`BEGIN; INSERT INTO items VALUES (${round * 8 + writer})`)),
      )
      // With the rows written, the commit records of all eight follow each other.
      await Promise.all(writers.map((client) => client.query('COMMIT')))
    }
    const all = new Recorder({ settle: () => false })
    const first = rig.open(all)
    await soon(() => expect(all.ids.size).toBe(400))
    await first.stop()
    const order = all.rows.map(({ message }) => message.cells![0])
    const ends = all.of('commit').map(({ endLsn }) => endLsn)
    const adjacent = all.of('begin').flatMap(({ commitLsn }, index) => (commitLsn === ends[index - 1] ? [index] : []))
    // Without such pairs this would show nothing.
    expect(adjacent.length).toBeGreaterThan(0)

    let settled = 0
    for (const next of adjacent.slice(0, 10)) {
      let budget = next - settled
      const recorder = new Recorder({ settle: () => budget-- > 0 })
      const stream = rig.open(recorder)
      await soon(() => expect(recorder.ids.size).toBe(400 - settled))
      await stream.stop()
      expect(recorder.rows.map(({ message }) => message.cells![0])).toEqual(order.slice(settled))
      settled = next
      expect((await rig.slotState()).confirmedFlushLsn).toBe(ends[settled - 1])
    }
    const last = new Recorder()
    rig.open(last)
    await soon(() => expect(last.ids.size).toBe(400 - settled))
    expect(last.rows[0]?.message.cells?.[0]).toBe(order[settled])
  })

  test('what was settled before the last stop does not come again, and an idle slot keeps no WAL', async () => {
    await rig.createSlot()
    await rig.insert(1, 3)
    const first = new Recorder()
    const stream = rig.open(first)
    await soon(() => expect(first.ids.size).toBe(3))
    await stream.stop()
    await rig.insert(4, 5)
    const second = new Recorder()
    rig.open(second)
    await soon(() => expect(second.ids.size).toBe(2))
    expect([...second.ids].sort()).toEqual(['4', '5'])

    // Other databases write WAL, too, which is never sent.
    const other = await createDatabase({ sql: 'CREATE TABLE noise AS SELECT generate_series(1, 10000)' })
    const { rows } = await rig.db.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn')
    await soon(async () => {
      const { rows: behind } = await rig.db.query(
        'SELECT FROM pg_replication_slots WHERE slot_name = $1 AND confirmed_flush_lsn < $2::pg_lsn',
        [rig.slot, rows[0]!.lsn],
      )
      expect(behind).toEqual([])
    })
    await other.drop()
  })

  test('unsettled rows hold the slot back, however many keepalives come', async () => {
    await rig.createSlot()
    const before = (await rig.slotState()).confirmedFlushLsn
    await rig.insert(1, 1)
    const recorder = new Recorder({ settle: () => false })
    const stream = rig.open(recorder, {
      timings: { ackIntervalMs: 5, liveness: { statusIntervalMs: 10, pingAfterMs: 0 } },
    })
    await soon(() => expect(recorder.ids.size).toBe(1))
    await soon(() => expect(recorder.keepalives).toBeGreaterThan(10))
    expect((await rig.slotState()).confirmedFlushLsn).toBe(before)
    recorder.watermark.settle(recorder.rows[0]!.transaction)
    stream.flushAcks()
    await soon(async () => expect((await rig.slotState()).confirmedFlushLsn).toBeGreaterThan(before!))
  })
})
