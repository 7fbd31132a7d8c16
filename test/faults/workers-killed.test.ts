import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DataObject } from '../../src/emulator/index.js'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'
import { differences, settled } from '../support/in-step.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { type ConfigDirectory, type RunningCommand, runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

let db: TestDatabase
let emulator: Emulator
let directory: ConfigDirectory

beforeAll(async () => {
  db = await createDatabase({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL, version integer NOT NULL DEFAULT 0);
      INSERT INTO products SELECT n, 'Chair' FROM generate_series(1, 200) n`,
  })
  emulator = await startEmulator()
  emulator.faults.add({ do: { latencyMs: 5 } })
  directory = await writeConfig({
    capture: 'trigger',
    delivery: { maxBatchObjects: 20, retryBaseMs: 20 },
    tables: {
      'public.products': { namespace: 'products', fields: { title: true, version: true }, onDelete: 'tombstone' },
    },
  })
  const { code, stderr } = await runCommand(['migrate'], { cwd: directory.dir, env: env() })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
})
afterAll(async () => {
  await directory.remove()
  await emulator.close()
  await db.drop()
})

const env = () => ({ DATABASE_URL: db.url, SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey })

async function startWorker(): Promise<RunningCommand> {
  const worker = startSidecar({ cwd: directory.dir, env: env() })
  await worker.waitFor((line) => line.msg === 'Starting')
  return worker
}

test('two workers, one of them killed at 12 random moments: nothing is lost, and no object is with two of them', async () => {
  const load = startLoad()
  let workers = [await startWorker(), await startWorker()]
  const moments: number[] = []
  for (let kill = 0; kill < 12; kill += 1) {
    const moment = Math.round(Math.random() * 1_500)
    moments.push(moment)
    await sleep(moment)
    const [victim, ...others] = workers
    victim?.kill('SIGKILL')
    expect((await victim?.exited)?.signal).toBe('SIGKILL')
    workers = [...others, await startWorker()]
  }
  await load.stop()
  await expectEqual(`killed after ${moments.join(', ')} ms`)
  await end(workers)
})

test('a worker that was stopped for longer than its leases finds that another one has its keys, and begins anew', async () => {
  const first = await startWorker()
  const second = await startWorker()
  const load = startLoad()
  await sleep(1_000)
  for (const worker of [first, second]) {
    worker.kill('SIGSTOP')
    // Longer than a lease (7 s).
    await sleep(9_000)
    worker.kill('SIGCONT')
    await sleep(1_000)
  }
  await load.stop()
  await expectEqual('stopped and continued')
  await end([first, second])
})

test('what a killed worker has sent without recording it is replaced, even by the state that the ledger knows', async () => {
  const first = await startWorker()
  await db.query(`INSERT INTO products VALUES (1000, 'A')`)
  await soon(async () => expect((await db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0))
  const locker = await db.client()
  await locker.query('BEGIN; LOCK TABLE safetykit.submissions')
  await db.query(`UPDATE products SET title = 'B' WHERE id = 1000`)
  await soon(() => expect(emulator.object('products', '1000')?.data.title).toBe('B'))
  first.kill('SIGKILL')
  await first.exited
  // Postgres would still do what the dead process had asked for.
  await db.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'safetykit-sync ledger'`)
  await locker.query('ROLLBACK')
  await db.query(`UPDATE products SET title = 'A' WHERE id = 1000`)
  const second = await startWorker()
  await soon(() => expect(emulator.object('products', '1000')?.data.title).toBe('A'))
  await expectEqual('killed before recording')
  await end([second])
  expect((await db.query('SELECT FROM safetykit.leases WHERE through > 0 OR doubted > 0')).rowCount).toBe(0)
})

async function end(workers: readonly RunningCommand[]): Promise<void> {
  for (const worker of workers) worker.kill('SIGTERM')
  for (const worker of workers) expect(await worker.exited).toMatchObject({ code: 0 })
}

/** Updates, states that come and go, inserts, deletes and changed keys, one after the other. */
function startLoad(): { stop(): Promise<void> } {
  let stopped = false
  const statements = [
    'UPDATE products SET version = version + 1 WHERE id = $1',
    'UPDATE products SET version = version + 1 WHERE id % 20 = $1 % 20',
    `UPDATE products SET title = 'Table' WHERE id = $1`,
    `UPDATE products SET title = 'Chair' WHERE id = $1`,
    'DELETE FROM products WHERE id = $1',
    `INSERT INTO products VALUES ($1, 'Chair') ON CONFLICT (id) DO UPDATE SET version = products.version + 1`,
    'UPDATE products SET id = id + 200 WHERE id = $1 AND NOT EXISTS (SELECT FROM products WHERE id = $1 + 200)',
  ]
  const running = (async () => {
    for (let write = 0; !stopped; write += 1) {
      await db.query(statements[write % statements.length] ?? '', [1 + Math.floor(Math.random() * 200)])
      if (write % 4 === 0) await sleep(2)
    }
  })()
  return {
    async stop() {
      stopped = true
      await running
    },
  }
}

const expected = {
  products: `SELECT json_build_object('id', id::text, 'title', title, 'version', version) AS object FROM products`,
}

/** SafetyKit has the latest state of every row that was written, and a tombstone of every one that is gone. */
async function expectEqual(story: string): Promise<void> {
  await settled(db)
  // A row that was there before the triggers, and has not been written since, is none of a change.
  const untouched = ({ title, version }: DataObject): boolean => version === 0 && title === 'Chair'
  const wrong = await differences({ db, emulator, expected, untouched })
  expect({ story, wrong, violations: emulator.violations }).toEqual({ story, wrong: [], violations: [] })
}
