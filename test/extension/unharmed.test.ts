import { describe, expect, onTestFinished, test } from 'vitest'
import { startEmulator } from '../../src/emulator/index.js'
import { soon } from '../support/soon.js'
import { tcpProxy } from '../support/tcp-proxy.js'
import type { ExtensionRig } from './rig.js'
import { delivered, extended, freePort, isPending, migrated, modes, workerFor, writeAll } from './unharmed-rig.js'

const waiting = async (rig: ExtensionRig): Promise<number> =>
  (await rig.db.query('SELECT FROM safetykit.dirty')).rowCount ?? 0

/** All side tables but the one that capture writes to. */
const ledgerTables = ['objects', 'requests', 'submissions', 'leases', 'settings', 'scans', 'horizons', 'migrations']

/** Holds tables as VACUUM FULL does, until the test lets go. */
async function lock(rig: ExtensionRig, tables: readonly string[]): Promise<{ release(): Promise<void> }> {
  const client = await rig.db.client()
  const names = tables.map((table) => `safetykit.${table}`).join(', ')
  await client.query(`BEGIN; LOCK TABLE ${names} IN ACCESS EXCLUSIVE MODE`)
  return { release: async () => void (await client.query('COMMIT')) }
}

/** Backends that stand in the queue for a side table. */
async function queued(rig: ExtensionRig, application: 'ours' | "the application's"): Promise<number> {
  const { rowCount } = await rig.db.query(
    `SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
     WHERE NOT l.granted AND a.datname = current_database() AND (a.application_name LIKE 'safetykit%') = $1`,
    [application === 'ours'],
  )
  return rowCount ?? 0
}

describe.each(modes)('capture: %s', (capture) => {
  describe('the API is away, and writes neither fail nor wait', () => {
    test('nobody listens', async () => {
      const rig = await migrated({ capture })
      const port = await freePort()
      const app = extended(rig, { capture }, { baseUrl: `http://127.0.0.1:${port}` })
      for (let round = 0; round < 5; round += 1) await writeAll(app)
      expect(await waiting(rig)).toBeGreaterThan(0)
      const emulator = await startEmulator({ port })
      onTestFinished(() => emulator.close())
      await delivered({ db: rig.db, emulator })
    })

    test('it never answers', async () => {
      const rig = await migrated({ capture })
      const hang = rig.emulator.faults.add({ do: { hang: true } })
      const app = extended(rig, { capture })
      await app.seller.count()
      await soon(() => expect(hang.hits).toBeGreaterThan(0))
      for (let round = 0; round < 5; round += 1) await writeAll(app)
      expect(rig.emulator.namespaces()).toEqual([])
      rig.emulator.faults.clear()
      await delivered(rig)
    })

    test('it answers 500', async () => {
      const rig = await migrated({ capture })
      rig.emulator.faults.add({ do: { status: 500 } })
      const app = extended(rig, { capture })
      for (let round = 0; round < 5; round += 1) await writeAll(app)
      expect(rig.emulator.namespaces()).toEqual([])
      rig.emulator.faults.clear()
      await delivered(rig)
    })

    test('with data it never answers, while it takes settings', async () => {
      const rig = await migrated({ capture })
      const hang = rig.emulator.faults.add({ when: { path: 'add' }, do: { hang: true } })
      const app = extended(rig, { capture })
      await writeAll(app)
      await soon(() => expect(hang.hits).toBeGreaterThan(0))
      for (let round = 0; round < 5; round += 1) await writeAll(app)
      rig.emulator.faults.clear()
      await delivered(rig)
    })
  })

  test('without a worker anywhere the keys wait for one', async () => {
    const rig = await migrated({ capture })
    const app = extended(rig, { capture, deliver: 'sidecar' })
    for (let round = 0; round < 5; round += 1) await writeAll(app)
    expect(await waiting(rig)).toBeGreaterThan(0)
    expect(rig.emulator.stats.acceptedObjects).toBe(0)
    await workerFor(rig, { capture })
    await delivered(rig)
  })

  describe('the database of the worker is away', () => {
    test.each(['refuses', 'does not answer'] as const)('it %s', async (how) => {
      const rig = await migrated({ capture })
      const proxy = await tcpProxy(rig.db.url)
      onTestFinished(() => proxy.close())
      const app = extended(rig, { capture }, { databaseUrl: proxy.url(rig.db.url) })
      await writeAll(app)
      await delivered(rig)
      if (how === 'refuses') {
        proxy.refuse()
        proxy.cut()
      } else {
        proxy.blackHole()
      }
      for (let round = 0; round < 5; round += 1) await writeAll(app)
      expect(await waiting(rig)).toBeGreaterThan(0)
      proxy.heal()
      await delivered(rig)
    })
  })

  describe("someone locks all of the ledger's tables", () => {
    test('writes go on while they are locked', async () => {
      const rig = await migrated({ capture })
      const app = extended(rig, { capture })
      await writeAll(app)
      await delivered(rig)
      const locked = await lock(rig, ledgerTables)
      for (let round = 0; round < 5; round += 1) await writeAll(app)
      await soon(async () => expect(await queued(rig, 'ours')).toBeGreaterThan(0))
      for (let round = 0; round < 5; round += 1) await writeAll(app)
      expect(await queued(rig, "the application's")).toBe(0)
      await locked.release()
      await delivered(rig)
    })

    test('also in an application that starts meanwhile', async () => {
      const rig = await migrated({ capture })
      const locked = await lock(rig, ledgerTables)
      const app = extended(rig, { capture })
      for (let round = 0; round < 5; round += 1) await writeAll(app)
      await soon(async () => expect(await queued(rig, 'ours')).toBeGreaterThan(0))
      const another = extended(rig, { capture })
      await writeAll(another)
      await soon(async () => expect(await queued(rig, 'ours')).toBeGreaterThan(1))
      await another.$disconnect()
      await locked.release()
      await delivered(rig)
    })

    test('the application can end in its time, and the next one delivers', async () => {
      const rig = await migrated({ capture })
      const app = extended(rig, { capture })
      await writeAll(app)
      await delivered(rig)
      const locked = await lock(rig, ledgerTables)
      await writeAll(app)
      await soon(async () => expect(await queued(rig, 'ours')).toBeGreaterThan(0))
      expect(await app.$safetykit.flush({ timeoutMs: 200 })).toMatchObject({ settled: false })
      await app.$disconnect()
      expect(await waiting(rig)).toBeGreaterThan(0)
      await locked.release()
      await extended(rig, { capture }).seller.count()
      await delivered(rig)
    })
  })

  describe('someone locks the table that capture writes to', () => {
    test('only writes of what is mapped wait, and go on after it', async () => {
      const rig = await migrated({ capture })
      const app = extended(rig, { capture })
      await writeAll(app)
      await delivered(rig)
      const { id } = await app.seller.findFirstOrThrow()
      const product = await app.product.findFirstOrThrow()
      const locked = await lock(rig, ['dirty'])
      const write = app.seller.update({ where: { id }, data: { name: 'patient' } })
      // Prisma runs a query once someone waits for it.
      const written = write.then(() => 'written')
      await soon(async () => expect(await queued(rig, "the application's")).toBe(1))
      expect(await app.seller.count()).toBeGreaterThan(0)
      await app.message.create({ data: { senderId: id, recipientId: id, body: 'not mapped' } })
      if (capture === 'trigger') {
        await app.product.update({ where: { id: product.id }, data: { viewCount: { increment: 1 } } })
      }
      expect(await isPending(written)).toBe(true)
      expect(await queued(rig, "the application's")).toBe(1)
      await locked.release()
      expect(await written).toBe('written')
      await delivered(rig)
    })

    test('VACUUM FULL of the side tables, again and again, fails no write', async () => {
      const rig = await migrated({ capture })
      const app = extended(rig, { capture })
      let over = false
      const vacuuming = (async () => {
        while (!over)
          for (const table of ['dirty', ...ledgerTables]) await rig.db.query(`VACUUM FULL safetykit.${table}`)
      })()
      const writers = [1, 2, 3].map(async () => {
        for (let round = 0; round < 10; round += 1) await writeAll(app)
      })
      await Promise.all(writers).finally(() => {
        over = true
      })
      await vacuuming
      await delivered(rig)
    })
  })

  test('what is held in memory while the API is away does not grow with what waits', async () => {
    const rig = await migrated({ capture })
    rig.emulator.faults.add({ when: { path: 'add' }, do: { hang: true } })
    const app = extended(rig, { capture })
    const hang = rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 1 } })
    const total = 12_000
    for (let from = 0; from < total; from += 3_000) {
      await app.seller.createMany({
        data: Array.from({ length: 3_000 }, (_, n) => ({ name: 'n', email: String(from + n) })),
      })
    }
    await soon(() => expect(hang.hits).toBeGreaterThan(1))
    // Postgres says how many rows were read by their key: an insert reads none.
    const readRows = async (): Promise<number> => {
      const { rows } = await rig.db.query<{ read: string }>(
        `SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS read FROM pg_stat_user_tables
         WHERE relname = 'Seller'`,
      )
      return Number(rows[0]?.read)
    }
    await soon(async () => expect(await readRows()).toBeGreaterThan(0))
    // Several polls and statistics of all that was read until now.
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(await readRows()).toBeLessThanOrEqual(2_000)
    expect(await waiting(rig)).toBe(total)
    rig.emulator.faults.clear()
    await delivered(rig)
  })
})
