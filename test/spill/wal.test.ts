import { expect, test } from 'vitest'
import { rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'
import { away, inStep, items, quick, since, spillRig, spills } from './rig.js'

const MiB = 1024 * 1024

test('an outage of ten minutes under 500 changes a second: the WAL is let go of, and each object comes once', async () => {
  const rig = await rigForTest({
    sql: items,
    tables: { 'public.items': { namespace: 'items', fields: { title: true, price: true } } },
    settings: quick,
  })
  await rig.db.query(`INSERT INTO items SELECT n, repeat('x', 200), 0 FROM generate_series(1, 20000) AS n`)
  await rig.caughtUp()
  const acceptedBefore = rig.emulator.stats.acceptedObjects
  const back = away(rig, { status: 503 })
  const from = await rig.db.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn')
  const startedMs = performance.now()
  let most = { retained: 0, pending: 0 }
  // 300,000 changes for the figures of docs/decisions/spill-to-dirty.md; a third of it shows the same.
  const rounds = process.env.SPILL_FIGURES === undefined ? 100 : 300
  for (let round = 1; round <= rounds; round += 1) {
    // As fast as the server takes them.
    await rig.db.query(`UPDATE items SET price = $1 WHERE id % 20 = $1 % 20`, [round])
    const { rows } = await rig.db.query<{ bytes: string }>(
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn) AS bytes FROM pg_replication_slots WHERE slot_name = $1`,
      [rig.db.name],
    )
    const pending = rig.pipeline.measures().pendingBytes
    most = { retained: Math.max(most.retained, Number(rows[0]?.bytes)), pending: Math.max(most.pending, pending) }
  }
  const writtenMs = performance.now() - startedMs
  await rig.caughtUp()
  const outageMs = performance.now() - startedMs
  const { rows } = await rig.db.query<{ wal: string }>(`SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1) AS wal`, [
    from.rows[0]?.lsn,
  ])
  const waiting = (await rig.db.query(`SELECT FROM safetykit.dirty`)).rowCount
  expect(rig.pipeline.state.phase).toBe('spilling')
  expect(most.pending).toBeLessThan(32 * MiB)

  const backMs = performance.now()
  back()
  await inStep(rig)
  const caughtUpMs = performance.now() - backMs
  for (const id of [1, 7_777, 20_000]) expect(since(rig, id, 1)).toHaveLength(1)
  expect(rig.emulator.stats.acceptedObjects - acceptedBefore).toBe(20_000)
  const figures = { writtenMs, outageMs, waiting, walMiB: Number(rows[0]?.wal) / MiB, caughtUpMs, ...most }
  if (process.env.SPILL_FIGURES !== undefined) console.log(figures)
})

test('a slot that holds back more than spill.lagBytes is let go of, also where each version would have been sent', async () => {
  const mapping = { fields: { title: true, price: true } }
  const rig = await spillRig({
    sql: `${items}; CREATE TABLE posts (LIKE items INCLUDING ALL)`,
    tables: {
      'public.items': { namespace: 'items', ...mapping },
      'public.posts': { namespace: 'posts', ...mapping, deliver: 'every' },
    },
    settings: { spill: { afterMs: 1_000, lagBytes: 2 * MiB }, maxPendingBytes: 256 * 1024 },
  })
  const back = away(rig, { hang: true })
  await rig.db.query(`INSERT INTO posts VALUES (1, 'first', 0)`)
  for (let price = 1; price <= 20; price += 1) await rig.db.query('UPDATE posts SET price = $1', [price])
  await rig.db.query(`INSERT INTO items SELECT n, repeat('x', 300), 1 FROM generate_series(2000, 8999) AS n`)
  // Its versions wait for the API, whatever else is kept as keys...
  await spills(rig)
  expect(rig.pipeline.state.trouble).not.toContain('posts')
  await rig.db.query(`INSERT INTO posts SELECT n, repeat('x', 300), 1 FROM generate_series(2000, 8999) AS n`)
  // ...until the disk would fill up with them.
  await soon(() =>
    expect(rig.logged('warn').map(({ message }) => message)).toContainEqual(expect.stringMatching(/too much WAL/)),
  )
  await rig.caughtUp()
  back()
  await inStep(rig)
  await inStep(rig, 'posts', 'posts')
  await soon(() => expect(rig.pipeline.state.phase).toBe('streaming'))
})
