import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { type ConfigDirectory, killedSidecar, runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

let db: TestDatabase
let emulator: Emulator
let directory: ConfigDirectory

beforeAll(async () => {
  db = await createDatabase({
    sql: `CREATE TABLE items (id int PRIMARY KEY, title text, price int);
      INSERT INTO items SELECT n, 'A', 0 FROM generate_series(1, 300) n`,
  })
  emulator = await startEmulator()
  directory = await writeConfig({
    capture: 'replication',
    slot: { name: db.name },
    results: 'off',
    spill: { afterMs: 200 },
    delivery: { maxBatchObjects: 20, retryBaseMs: 10, retryMaxMs: 100, requestTimeoutMs: 300 },
    tables: { 'public.items': { namespace: 'items', fields: { title: true, price: true }, onDelete: 'tombstone' } },
  })
  expect(await runCommand(['migrate'], { cwd: directory.dir, env: env() })).toMatchObject({ code: 0 })
})
afterAll(async () => {
  await directory.remove()
  await emulator.close()
  await db.drop()
})

const env = () => ({ DATABASE_URL: db.url, SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey })

const statements = [
  `UPDATE items SET price = price + 1 WHERE id % 30 = $1 % 30`,
  `UPDATE items SET title = CASE title WHEN 'A' THEN 'B' ELSE 'A' END WHERE id = $1`,
  `DELETE FROM items WHERE id = $1`,
  `INSERT INTO items VALUES ($1, 'A', 0) ON CONFLICT (id) DO UPDATE SET title = 'A', price = 0`,
  `UPDATE items SET id = id + 1000 WHERE id = $1 AND NOT EXISTS (SELECT FROM items WHERE id = $1 + 1000)`,
]

test('killed with SIGKILL in the middle of spills, it loses nothing, whatever the API took without an answer', async () => {
  const client = await db.client()
  let stopped = false
  const load = (async () => {
    for (let n = 0; !stopped; n += 1) {
      await client.query(statements[n % statements.length] ?? '', [1 + Math.floor(Math.random() * 300)])
      await sleep(2)
    }
  })()
  const moments: number[] = []
  for (let kill = 0; kill < 8; kill += 1) {
    for (const [index, how] of (
      [{ hangAfterAccept: true }, { resetAfterAccept: true }, { status: 503 }, { hang: true }] as const
    ).entries()) {
      emulator.faults.add({ when: { path: 'add', probability: 0.6, seed: kill * 10 + index }, do: how })
    }
    moments.push(await killedSidecar({ cwd: directory.dir, env: env() }, 1_200))
    emulator.faults.clear()
  }
  stopped = true
  await load
  const sidecar = startSidecar({ cwd: directory.dir, env: env() })
  try {
    await soon(async () => {
      const { rows } = await db.query<{ id: number }>('SELECT * FROM items')
      const wanted = Object.fromEntries(rows.map((row) => [row.id, { ...row, id: String(row.id) }]))
      const sent = [...emulator.objects('items')].map(([id, { data }]) => [id, data] as const)
      const alive = Object.fromEntries(sent.filter(([, data]) => !('deleted' in data)))
      expect(alive, `killed after ${moments.join(', ')} ms`).toEqual(wanted)
      expect((await db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0)
    })
  } finally {
    sidecar.kill('SIGTERM')
    expect(await sidecar.exited).toMatchObject({ code: 0 })
  }
  expect((await db.query(`SELECT FROM safetykit.horizons WHERE name = 'dirty' AND through > 0`)).rowCount).toBe(0)
})
