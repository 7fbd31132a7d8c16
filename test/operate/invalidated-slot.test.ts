import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { emulatorForTest } from '../support/emulator.js'
import { differences } from '../support/in-step.js'
import { createDatabase, ownServer } from '../support/postgres.js'
import { configSource, type RunningCommand, runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const apiKey = 'sk_test_0123456789'
const started = ({ msg }: { msg: string }) => msg === 'Replication has started'
const sql = 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)'
const expected = { products: `SELECT jsonb_build_object('id', id::text, 'title', title) AS object FROM products` }

interface Sidecars {
  readonly emulator: Awaited<ReturnType<typeof emulatorForTest>>
  query(text: string, values?: unknown[]): Promise<pg.QueryResult>
  start(onLost?: 'stop'): Promise<RunningCommand>
  stop(sidecar: RunningCommand): Promise<void>
  /** Twenty rows are known; nothing runs. */
  known(): Promise<void>
  /** What nobody captures. */
  miss(): Promise<void>
  /** All is in step, and the slot brings the insert of this row. */
  expectFound(live: number): Promise<void>
}

async function sidecars(url: string, slot: string): Promise<Sidecars> {
  const emulator = await emulatorForTest({ apiKey })
  const pool = new pg.Pool({ connectionString: url, max: 3 })
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  const config = {
    capture: 'replication',
    slot: { name: slot },
    results: 'off',
    tables: { 'public.products': { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' } },
  }
  const directory = await writeConfig(config)
  onTestFinished(() => directory.remove())
  const options = {
    cwd: directory.dir,
    env: { DATABASE_URL: url, SAFETYKIT_API_KEY: apiKey, SAFETYKIT_BASE_URL: emulator.url },
  }
  expect(await runCommand(['migrate'], options)).toMatchObject({ code: 0 })
  const rig: Sidecars = {
    emulator,
    query: (text, values) => pool.query(text, values),
    async start(onLost) {
      const slotSettings = onLost === undefined ? { name: slot } : { name: slot, onLost }
      await directory.write('safetykit.config.ts', configSource({ ...config, slot: slotSettings }))
      const sidecar = startSidecar(options)
      onTestFinished(async () => {
        sidecar.kill('SIGKILL')
        await sidecar.exited
      })
      return sidecar
    },
    async stop(sidecar) {
      sidecar.kill()
      expect(await sidecar.exited).toMatchObject({ code: 0 })
    },
    async known() {
      const sidecar = await rig.start()
      await sidecar.waitFor(started)
      await pool.query(`INSERT INTO products SELECT n, 'old' FROM generate_series(1, 20) n`)
      await soon(() => expect(emulator.objects('products').size).toBe(20))
      await rig.stop(sidecar)
    },
    async miss() {
      await pool.query(`UPDATE products SET title = 'new' WHERE id = 1; INSERT INTO products VALUES (21, 'new');
        DELETE FROM products WHERE id = 2`)
    },
    async expectFound(live) {
      await soon(async () => {
        expect((await pool.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0)
        expect(await differences({ db: pool as never, emulator, expected })).toEqual([])
      })
      for (let id = 10; id <= 20; id += 1) expect(emulator.history('products', String(id))).toHaveLength(1)
      await pool.query(`INSERT INTO products VALUES ($1, 'live')`, [live])
      await soon(() => expect(emulator.object('products', String(live))).toBeDefined())
    },
  }
  return rig
}

test('a slot that the server has invalidated: with `onLost: stop` it is left to a person; else it is made anew, also where the one who does it is killed', async () => {
  const server = await ownServer({
    flags: { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' },
  })
  onTestFinished(() => server.remove())
  const admin = new pg.Client({ connectionString: server.url() })
  await admin.connect()
  onTestFinished(() => admin.end())
  await admin.query(sql)
  const rig = await sidecars(server.url(), 'safetykit')
  const slots = async () =>
    (await admin.query('SELECT wal_status, active FROM pg_replication_slots WHERE slot_name = $1', ['safetykit'])).rows
  await rig.known()
  await rig.miss()
  await soon(async () => {
    await admin.query(
      `SELECT pg_logical_emit_message(false, '', repeat('x', 20000000)); SELECT pg_switch_wal(); CHECKPOINT`,
    )
    expect(await slots()).toMatchObject([{ wal_status: 'lost' }])
  })

  const stopped = await rig.start('stop')
  expect(await stopped.exited).toMatchObject({ code: 3 })
  expect(stopped.stderr()).toMatch(/^error SLOT_LOST: /)
  expect(stopped.stderr()).toContain(`pg_drop_replication_slot('safetykit')`)
  expect(await slots()).toMatchObject([{ wal_status: 'lost' }])

  // Killed when the slot is dropped and the new one waits for a transaction that is open.
  await admin.query('BEGIN; CREATE TABLE others ()')
  const killed = await rig.start()
  await soon(async () => expect(await slots()).not.toMatchObject([{ wal_status: 'lost' }]))
  killed.kill('SIGKILL')
  await killed.exited
  const healer = await rig.start()
  await admin.query('COMMIT')
  await rig.expectFound(22)
  expect(await slots()).toMatchObject([{ wal_status: 'reserved', active: true }])
  await rig.stop(healer)
})

/** What makes it wait within the mending, and what it waits for then. */
const points = {
  'the publication, before the marks': {
    hold: 'LOCK TABLE safetykit.dirty IN EXCLUSIVE MODE',
    waits: `SELECT FROM pg_locks WHERE NOT granted AND relation = 'safetykit.dirty'::regclass`,
  },
  'the marks, before the slot': {
    hold: 'CREATE TABLE others ()',
    waits: `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_create_logical_replication_slot%'
      AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()`,
  },
  'the slot, before it is noted where it begins': {
    hold: 'LOCK TABLE safetykit.horizons IN EXCLUSIVE MODE',
    waits: `SELECT FROM pg_locks WHERE NOT granted AND relation = 'safetykit.horizons'::regclass`,
  },
}

test('killed at any point while it makes a slot anew, it loses nothing: the next one does it', async () => {
  const db = await createDatabase({ sql })
  onTestFinished(() => db.drop())
  const rig = await sidecars(db.url, db.name)
  await rig.known()
  for (const [number, [point, { hold, waits }]] of Object.entries(points).entries()) {
    await db.query('SELECT pg_drop_replication_slot($1)', [db.name])
    await db.query('UPDATE products SET title = $1 WHERE id = 1', [`missed ${number}`])
    await db.query('DELETE FROM products WHERE id = $1', [2 + number])
    const holder = await db.client()
    await holder.query(`BEGIN; ${hold}`)
    const killed = await rig.start()
    await soon(async () => expect((await db.query(waits)).rowCount, point).toBeGreaterThan(0))
    killed.kill('SIGKILL')
    await killed.exited
    await db.query('INSERT INTO products VALUES ($1, $2)', [30 + number, 'later'])
    const next = await rig.start()
    await holder.query('ROLLBACK')
    await rig.expectFound(40 + number)
    await rig.stop(next)
  }
  // It is taken for its own from then on.
  const last = await rig.start()
  await last.waitFor(started)
  await rig.expectFound(50)
  expect(last.logs().filter(({ level }) => level === 'error')).toEqual([])
  await rig.stop(last)
})
