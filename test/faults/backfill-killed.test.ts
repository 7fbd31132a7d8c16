import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'
import { differences, settled } from '../support/in-step.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import {
  type ConfigDirectory,
  type RunningCommand,
  runCommand,
  startCommand,
  startSidecar,
  writeConfig,
} from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const total = 1_000_000
/** A backfill that comes after a killed one waits for its lease, and reads a part of a million rows again. */
const patienceMs = 180_000

let db: TestDatabase
let emulator: Emulator
let directory: ConfigDirectory

beforeAll(async () => {
  db = await createDatabase({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL, version integer NOT NULL DEFAULT 0);
      INSERT INTO products SELECT n, 'Chair ' || n FROM generate_series(1, ${total}) n`,
  })
  emulator = await startEmulator({ keepHistory: false, processingMs: 200 })
  directory = await writeConfig({
    capture: 'trigger',
    delivery: { retryBaseMs: 20 },
    results: 'off',
    import: { maxPartBytes: 8 * 1024 * 1024, spoolDirectory: 'spool' },
    tables: {
      'public.products': { namespace: 'products', fields: { title: true, version: true }, onDelete: 'tombstone' },
    },
  })
  const { code, stderr } = await runCommand(['migrate'], { cwd: directory.dir, env: env() })
  // Autovacuum's ANALYZE of a million rows may be at the table: migrate tells then that it waits.
  expect(code, stderr).toBe(0)
})
afterAll(async () => {
  await directory.remove()
  await emulator.close()
  await db.drop()
})

const env = () => ({ DATABASE_URL: db.url, SAFETYKIT_BASE_URL: emulator.url, SAFETYKIT_API_KEY: emulator.apiKey })

/** Where a backfill is killed: when it has come there, and what is undone afterwards. */
interface Death {
  readonly where: string
  readonly reached: (backfill: RunningCommand) => Promise<void>
}

const deaths: readonly Death[] = [
  {
    where: 'while it scans, before anything is sent',
    reached: (backfill) => backfill.waitForOutput('"phase":"scanning"', patienceMs),
  },
  {
    where: 'while it writes a file',
    async reached() {
      const left = await spooled()
      await soon(
        async () => expect((await spooled()).filter((file) => !left.includes(file))).not.toEqual([]),
        patienceMs,
      )
    },
  },
  {
    where: 'while it uploads',
    async reached() {
      const uploads = emulator.stats.calls.upload
      const fault = emulator.faults.add({ when: { path: 'upload' }, do: { hang: true } })
      await soon(() => expect(emulator.stats.calls.upload).toBeGreaterThan(uploads), patienceMs)
      fault.remove()
    },
  },
  {
    where: 'after an upload, before its answer',
    async reached() {
      const fault = emulator.faults.add({ when: { path: 'upload', times: 1 }, do: { hangAfterAccept: true } })
      await soon(() => expect(fault.hits).toBe(1), patienceMs)
    },
  },
  {
    where: "in the ledger's transaction",
    async reached() {
      // Not before: it waits for changes that were captured earlier, and these are recorded there, too.
      const imports = emulator.stats.calls.import
      await soon(() => expect(emulator.stats.calls.import).toBeGreaterThan(imports), patienceMs)
      const locker = await db.client()
      await locker.query('BEGIN; LOCK TABLE safetykit.submissions IN SHARE MODE')
      await soon(async () => {
        const { rowCount } = await db.query(
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
             AND query LIKE '%INSERT INTO "safetykit".submissions%' AND query LIKE '%expected%'`,
        )
        expect(rowCount).toBeGreaterThan(0)
      }, patienceMs)
      // Released once the process is dead: its backend finds nobody to answer, and rolls back.
      setTimeout(() => void locker.query('ROLLBACK'), 500)
    },
  },
]

const spooled = async (): Promise<string[]> => {
  const files = await readdir(path.join(directory.dir, 'spool'), { recursive: true }).catch(() => [])
  return files.filter((file) => file.endsWith('.jsonl'))
}

test('a million rows, a live workload, and a backfill that is killed five times: SafetyKit has the latest state of each', {
  timeout: 900_000,
}, async () => {
  const sidecar = startSidecar({ cwd: directory.dir, env: env() })
  await sidecar.waitFor((line) => line.msg === 'Starting')
  const load = startLoad()
  onTestFinished(() => load.stop())
  for (const { where, reached } of deaths) {
    const backfill = startBackfill()
    await Promise.race([reached(backfill), endedTooSoon(backfill, where)])
    backfill.kill('SIGKILL')
    expect((await backfill.exited).signal, where).toBe('SIGKILL')
  }
  const known = await count('objects')
  expect(known).toBeGreaterThan(0)
  expect(known).toBeLessThan(total)
  const last = startBackfill()
  const { code } = await last.exited
  expect({ code, stderr: last.stderr() }).toEqual({ code: 0, stderr: '' })
  await load.stop()

  // Imports that landed late have their newer rows sent once more.
  await soon(async () => expect(await count('requests', 'completed_at IS NULL')).toBe(0))
  await settled(db)
  await soon(async () => expect(await count('requests', "kind = 'import' AND status <> 'succeeded'")).toBe(0))
  const wrong = await differences({ db, emulator, expected })
  expect(wrong.slice(0, 10)).toEqual([])
  expect(await count('objects', 'request_id IS NULL')).toBe(0)
  expect(await spooled()).toEqual([])
  sidecar.kill('SIGTERM')
  expect(await sidecar.exited).toMatchObject({ code: 0 })
})

test('a backfill of what is known and unchanged calls nobody', async () => {
  const before = { ...emulator.stats.calls }
  const { code, stdout } = await runCommand(['backfill'], { cwd: directory.dir, env: env() })
  expect(code).toBe(0)
  expect(stdout.trim().split('\n').at(-1)).toContain('"done"')
  expect(emulator.stats.calls).toEqual(before)
})

const startBackfill = (): RunningCommand => startCommand(['backfill'], { cwd: directory.dir, env: env() })

async function endedTooSoon(backfill: RunningCommand, where: string): Promise<never> {
  const exit = await backfill.exited
  if (exit.signal === 'SIGKILL') return new Promise(() => {})
  throw new Error(`the backfill ended before it was killed ${where}: ${JSON.stringify(exit)} ${backfill.stderr()}`)
}

async function count(table: string, where = 'true'): Promise<number> {
  const { rows } = await db.query(`SELECT count(*)::integer AS n FROM safetykit.${table} WHERE ${where}`)
  return Number(rows[0]?.n)
}

/** Updates, states that come and go, inserts and deletes, all over the table. */
function startLoad(): { stop(): Promise<void> } {
  let stopped = false
  const statements = [
    'UPDATE products SET version = version + 1 WHERE id = $1',
    `UPDATE products SET title = 'Table' WHERE id = $1`,
    `UPDATE products SET title = 'Chair ' || id WHERE id = $1`,
    'DELETE FROM products WHERE id = $1',
    `INSERT INTO products VALUES ($1, 'Stool') ON CONFLICT (id) DO UPDATE SET version = products.version + 1`,
    'UPDATE products SET version = version + 1 WHERE id BETWEEN $1 AND $1 + 20',
  ]
  const running = (async () => {
    for (let write = 0; !stopped; write += 1) {
      await db.query(statements[write % statements.length] ?? '', [1 + Math.floor(Math.random() * total * 1.01)])
      await sleep(10)
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
