import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { type Rig, rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'

const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL);
  INSERT INTO products SELECT n, 'old' FROM generate_series(1, 20) n`
const tables = { 'public.products': { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' } }

/** Of the keys in `dirty`. */
const longestPollMs = 2_000

/** All twenty rows are known; nothing runs. */
async function known(): Promise<Rig> {
  const rig = await rigForTest({ sql, tables })
  await rig.db.query(`UPDATE products SET title = 'old'`)
  await rig.caughtUp()
  expect(Object.keys(rig.sent('products'))).toHaveLength(20)
  return rig
}

/** What nobody captures: an update, an insert, and a delete. */
const missed = (rig: Rig) =>
  rig.db.query(`UPDATE products SET title = 'new' WHERE id = 1; INSERT INTO products VALUES (21, 'new');
    DELETE FROM products WHERE id = 2`)

const drop = (rig: Rig) => rig.db.query('SELECT pg_drop_replication_slot($1)', [rig.db.name])
const create = (rig: Rig) => rig.db.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [rig.db.name])

/** Ends the connection that reads the slot, and goes on at once: nobody connects in between. */
const cut = (rig: Rig, then: string) =>
  soon(() =>
    rig.db.query(
      `DO $$ BEGIN
        PERFORM pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '${rig.db.name}' AND active;
        ${then}
      END $$`,
    ),
  )

async function expectFound(rig: Rig, versionsOfUnchanged = 1): Promise<void> {
  await soon(() => {
    expect(rig.sent('products')).toMatchObject({ 1: { title: 'new' }, 2: { deleted: true }, 21: { title: 'new' } })
  })
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  for (let id = 3; id <= 20; id += 1) expect(rig.versions('products', String(id))).toBe(versionsOfUnchanged)
  // The slot works.
  await rig.db.query(`INSERT INTO products VALUES (22, 'live')`)
  await soon(() => expect(rig.sent('products')).toHaveProperty('22'))
}

describe('while nothing runs', () => {
  test('a slot that was dropped is made anew, and only what was missed is sent', async () => {
    const rig = await known()
    await rig.stop()
    await drop(rig)
    await missed(rig)
    const pipeline = await rig.start()
    await expectFound(rig)
    expect(pipeline.state).toMatchObject({ phase: 'streaming', trouble: null, counts: { slotsRecreated: 1 } })
    expect(rig.logged('error').map(({ message }) => message)).toContainEqual(expect.stringContaining('slot is lost'))
  })

  test('a slot that someone has dropped and made anew is not taken for ours', async () => {
    const rig = await known()
    await rig.stop()
    await drop(rig)
    await missed(rig)
    await create(rig)
    const pipeline = await rig.start()
    await expectFound(rig)
    expect(pipeline.state.counts.slotsRecreated).toBe(1)
    // It is ours now.
    await rig.stop()
    expect((await rig.start()).state.counts.slotsRecreated).toBe(0)
    await rig.caughtUp()
    expect(rig.pipeline.state.counts.slotsRecreated).toBe(0)
  })

  test('a slot that someone has advanced has lost changes, too', async () => {
    const rig = await known()
    await rig.stop()
    await missed(rig)
    await rig.db.query('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())', [rig.db.name])
    await rig.start()
    await expectFound(rig)
  })

  test('a slot that is as it was left costs no scan, however the sidecar has ended', async () => {
    const rig = await known()
    for (const end of [() => rig.stop(), () => rig.abandon()]) {
      await end()
      await missed(rig).catch(() => {})
      const pipeline = await rig.start()
      await rig.caughtUp()
      expect(pipeline.state.counts.slotsRecreated).toBe(0)
    }
    expect(await rig.side('scans')).toEqual([])
  })

  test('with `onLost: stop` it is left to a person', async () => {
    const rig = await known()
    await rig.stop()
    await drop(rig)
    const settings = { slot: { name: rig.db.name, onLost: 'stop' } } as const
    await expect(rig.start({ settings })).rejects.toMatchObject({ code: 'SLOT_MISSING' })
    await create(rig)
    const pipeline = await rig.start({ settings })
    await expect(pipeline.done).rejects.toMatchObject({ code: 'SLOT_REPLACED' })
  })
})

describe('while it is read', () => {
  test('a slot that is dropped is made anew', async () => {
    const rig = await known()
    await cut(rig, `PERFORM pg_drop_replication_slot('${rig.db.name}'); `)
    await missed(rig)
    await expectFound(rig)
    expect(rig.pipeline.state.counts.slotsRecreated).toBe(1)
  })

  test('keys in `dirty` wait until the slot is read again: until then another process could be the one that sends', async () => {
    const rig = await known()
    // A new slot waits for the transactions that are open.
    const open = await rig.db.client()
    await open.query('BEGIN; CREATE TABLE others ()')
    await cut(rig, `PERFORM pg_drop_replication_slot('${rig.db.name}'); `)
    await soon(() => expect(rig.pipeline.state.phase).toBe('connecting'))
    await rig.db.query(
      `INSERT INTO safetykit.dirty (source, key, force) VALUES ('public.products', '{"id": "3"}', true)`,
    )
    await sleep(longestPollMs + 1_000)
    expect(rig.versions('products', '3')).toBe(1)
    await open.query('COMMIT')
    await soon(() => expect(rig.versions('products', '3')).toBe(2))
    expect(rig.pipeline.state.phase).toBe('streaming')
  })

  test('a slot that is dropped and made anew by someone else is noticed', async () => {
    const rig = await known()
    const client = await rig.db.client()
    await soon(async () => {
      await client.query(
        `SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1 AND active`,
        [rig.db.name],
      )
      await client.query('SELECT pg_drop_replication_slot($1)', [rig.db.name])
    })
    await missed(rig)
    await create(rig).catch(() => {})
    await expectFound(rig)
    expect(rig.pipeline.state.counts.slotsRecreated).toBe(1)
  })
})
