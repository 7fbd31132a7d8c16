import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { createDatabase, ownServer } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { Recorder } from './recorder.js'
import { streamRig } from './stream-rig.js'

const rig = streamRig()

describe('what no further attempt would mend', () => {
  test('a missing slot', async () => {
    await expect(rig.open(new Recorder()).done).rejects.toMatchObject({ code: 'SLOT_MISSING', retryable: false })
  })

  test('a slot that is dropped while it is not read', async () => {
    await rig.createSlot()
    const through = await rig.proxy()
    const recorder = new Recorder()
    const stream = rig.open(recorder, {
      connection: { connectionString: through.url(rig.db.url) },
      timings: { retryMaxMs: 100 },
    })
    await soon(() => expect(recorder.starts).toBe(1))
    through.refuse()
    through.cut()
    await soon(async () => {
      await rig.db.query('SELECT pg_drop_replication_slot($1)', [rig.slot])
    })
    through.heal()
    await expect(stream.done).rejects.toMatchObject({ code: 'SLOT_MISSING' })
  })

  test('a slot of another plugin, and a physical one', async () => {
    await rig.db.query(`SELECT pg_create_physical_replication_slot($1)`, [rig.slot])
    await expect(rig.open(new Recorder()).done).rejects.toMatchObject({ code: 'SLOT_FOREIGN' })
  })

  test('a slot of another database', async () => {
    const other = await createDatabase()
    await other.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [rig.slot])
    const error = await rig.open(new Recorder()).done.catch((e: unknown) => e)
    await other.query(`SELECT pg_drop_replication_slot($1)`, [rig.slot])
    await other.drop()
    expect(error).toMatchObject({ code: 'SLOT_FOREIGN' })
  })

  test('a wrong password, and a role that may not replicate, each with a hint', async () => {
    await rig.createSlot()
    await rig.db.query(`CREATE ROLE reader_${rig.db.name} LOGIN PASSWORD 'right'`)
    const url = new URL(rig.db.url)
    url.username = `reader_${rig.db.name}`
    url.password = 'wrong'
    const wrong = rig.open(new Recorder(), { connection: { connectionString: url.href } })
    await expect(wrong.done).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE', hint: expect.any(String) })
    url.password = 'right'
    const unfit = rig.open(new Recorder(), { connection: { connectionString: url.href } })
    await expect(unfit.done).rejects.toMatchObject({
      code: 'DATABASE_UNFIT',
      hint: expect.stringContaining('REPLICATION'),
    })
    await rig.db.query(`DROP ROLE reader_${rig.db.name}`)
  })

  test('an error of the consumer ends the stream, and is not acked', async () => {
    await rig.createSlot()
    await rig.insert(1, 1)
    const before = (await rig.slotState()).confirmedFlushLsn
    const recorder = new Recorder()
    recorder.onMessage = () => {
      throw new TypeError('a bug')
    }
    await expect(rig.open(recorder).done).rejects.toMatchObject({ code: 'INTERNAL' })
    expect((await rig.slotState()).confirmedFlushLsn).toBe(before)
  })

  test('a publication that does not exist is told apart from a missing slot', async () => {
    const old = await ownServer({ version: 15 }).catch(() => null)
    if (old === null) return
    const admin = new pg.Client({ connectionString: old.url() })
    await admin.connect()
    try {
      await admin.query('CREATE TABLE items (id int PRIMARY KEY)')
      await admin.query(`SELECT pg_create_logical_replication_slot('s', 'pgoutput')`)
      await admin.query('INSERT INTO items VALUES (1)')
      const connection = { connectionString: old.url() }
      const options = { connection, slot: 's', publication: 'p' }
      const missing = rig.open(new Recorder(), options)
      await expect(missing.done).rejects.toMatchObject({ code: 'PUBLICATION_UNFIT', message: /does not exist/ })
      await admin.query('CREATE PUBLICATION p FOR ALL TABLES')
      const late = rig.open(new Recorder(), options)
      await expect(late.done).rejects.toMatchObject({ code: 'SLOT_LOST', message: /older/ })
    } finally {
      await admin.end()
      await old.remove()
    }
  })
})
