import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { type ConfigDirectory, runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

let db: TestDatabase
let emulator: Emulator
let directory: ConfigDirectory

beforeAll(async () => {
  db = await createDatabase({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL, version integer NOT NULL, views integer NOT NULL DEFAULT 0);
      INSERT INTO products SELECT n, 'Chair', 0 FROM generate_series(1, 300) n`,
  })
  emulator = await startEmulator()
  directory = await writeConfig({
    capture: 'replication',
    slot: { name: db.name },
    delivery: { maxBatchObjects: 20, retryBaseMs: 20 },
    tables: {
      'public.products': { namespace: 'products', fields: { title: true, version: true }, onDelete: 'tombstone' },
    },
  })
  const { code, stderr } = await runCommand(['migrate'], { cwd: directory.dir, env: env() })
  expect(stderr).toBe('')
  expect(code).toBe(0)
})
afterAll(async () => {
  await directory.remove()
  await emulator.close()
  await db.drop()
})

const env = () => ({ DATABASE_URL: db.url, SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey })

test('killed with SIGKILL at 20 random moments under load, it loses nothing and the side tables are complete', async () => {
  const load = startLoad(await db.client())
  const moments: number[] = []
  for (let kill = 0; kill < 20; kill += 1) {
    const sidecar = startSidecar({ cwd: directory.dir, env: env() })
    await sidecar.waitFor((line) => line.msg === 'Replication has started')
    const moment = Math.round(Math.random() * 400)
    moments.push(moment)
    await sleep(moment)
    sidecar.kill('SIGKILL')
    expect((await sidecar.exited).signal).toBe('SIGKILL')
  }
  const writes = await load.stop()
  const sidecar = startSidecar({ cwd: directory.dir, env: env() })
  try {
    await caughtUp()
    await expectEqual(`killed after ${moments.join(', ')} ms, ${writes} writes`)
  } finally {
    sidecar.kill('SIGTERM')
    expect(await sidecar.exited).toMatchObject({ code: 0 })
  }
  expect(emulator.stats.acceptedObjects).toBeGreaterThan(100)
})

/** Inserts, updates (of unmapped columns too), states that come and go, deletes and changed keys, one after the other. */
function startLoad(client: pg.Client): { stop(): Promise<number> } {
  let stopped = false
  let writes = 0
  const statements = [
    'UPDATE products SET version = version + 1 WHERE id = $1',
    'UPDATE products SET version = version + 1 WHERE id % 50 = $1 % 50',
    'UPDATE products SET views = views + 1 WHERE id = $1',
    `WITH there AS (UPDATE products SET title = 'Table' WHERE id = $1 RETURNING id) SELECT FROM there`,
    `UPDATE products SET title = 'Chair' WHERE id = $1`,
    'DELETE FROM products WHERE id = $1',
    `INSERT INTO products VALUES ($1, 'Chair', 0) ON CONFLICT (id) DO UPDATE SET version = products.version + 1`,
    'UPDATE products SET id = id + 300 WHERE id = $1 AND NOT EXISTS (SELECT FROM products WHERE id = $1 + 300)',
  ]
  const running = (async () => {
    while (!stopped) {
      const id = 1 + Math.floor(Math.random() * 300)
      await client.query(statements[writes % statements.length] ?? '', [id])
      writes += 1
      if (writes % 4 === 0) await sleep(1)
    }
  })()
  return {
    async stop() {
      stopped = true
      await running
      return writes
    },
  }
}

/** Everything that is committed now is settled. */
async function caughtUp(): Promise<void> {
  const { rows } = await db.query('SELECT pg_current_wal_insert_lsn()::text AS lsn')
  await soon(async () => {
    const slots = await db.query(
      'SELECT confirmed_flush_lsn >= $1::pg_lsn AS passed FROM pg_replication_slots WHERE slot_name = $2',
      [rows[0]?.lsn, db.name],
    )
    expect(slots.rows).toEqual([{ passed: true }])
  })
}

/** SafetyKit has the latest state of every row and a tombstone of every row that it knew; the ledger says under which request. */
async function expectEqual(story: string): Promise<void> {
  const table = await db.query<{ id: number; title: string; version: number }>(
    'SELECT id, title, version FROM products',
  )
  const rows = new Map(table.rows.map(({ id, title, version }) => [String(id), { id: String(id), title, version }]))
  const wrong: string[] = []
  for (const [id, row] of rows) {
    const sent = emulator.object('products', id)?.data
    // A row that was there before the slot, and has not been written since, is none of a change.
    if (sent === undefined && row.version === 0 && row.title === 'Chair') continue
    if (JSON.stringify(sent) !== JSON.stringify(row))
      wrong.push(`${id} is at ${JSON.stringify(sent)}, its row at ${JSON.stringify(row)}`)
  }
  for (const { id, data } of emulator.objects('products').values()) {
    if (!rows.has(id) && data.deleted !== true) wrong.push(`${id} is gone, and SafetyKit has ${JSON.stringify(data)}`)
  }
  const ledger = await db.query<{ object_id: string; request_id: string; state: string }>(
    'SELECT * FROM safetykit.objects',
  )
  const recorded = new Map(ledger.rows.map((row) => [row.object_id, row]))
  for (const { id, requestId } of emulator.objects('products').values()) {
    const row = recorded.get(id)
    if (row?.request_id !== requestId)
      wrong.push(`${id} was accepted in ${requestId}, the ledger has ${row?.request_id}`)
  }
  const { rows: missing } = await db.query(
    `SELECT object_id FROM safetykit.objects o
     WHERE NOT EXISTS (SELECT FROM safetykit.submissions s WHERE (s.namespace, s.object_id, s.request_id) = (o.namespace, o.object_id, o.request_id))
        OR NOT EXISTS (SELECT FROM safetykit.requests r WHERE r.request_id = o.request_id)`,
  )
  expect({ story, wrong, missing, violations: emulator.violations }).toEqual({
    story,
    wrong: [],
    missing: [],
    violations: [],
  })
}
