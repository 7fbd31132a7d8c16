import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { retry as retryHere } from '../../src/operate/retry.js'
import type { RetryFilter } from '../../src/operate/retry-report.js'
import { migrate } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { type CommandResult, type ConfigDirectory, runCommand, startSidecar, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const apiKey = 'sk_test_0123456789'
const config = {
  capture: 'trigger',
  deliver: 'sidecar',
  results: 'off',
  tables: {
    'public.products': [
      { namespace: 'products', fields: { title: true } },
      { namespace: 'items', fields: { title: true } },
    ],
  },
} as const
const { resolved } = defineSync(config)

let db: TestDatabase
let directory: ConfigDirectory

beforeEach(async () => {
  db = await createDatabase({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL);
          INSERT INTO products SELECT g, 'product ' || g FROM generate_series(1, 20) g`,
  })
  directory = await writeConfig(config)
  await migrate({ resolved, databaseUrl: db.url })
})

afterEach(async () => {
  await directory.remove()
  await db.drop()
})

const retry = (...args: string[]): Promise<CommandResult> =>
  runCommand(['retry', ...args], { cwd: directory.dir, env: { DATABASE_URL: db.url } })

const retried = async (...args: string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await retry(...args, '--json')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout)
}

/** Products of these ids, refused as the ledger has it. */
const refuse = (namespace: string, ids: readonly number[], state: 'parked' | 'dead', code = 'API_REJECTED') =>
  db.query(
    `INSERT INTO safetykit.objects (namespace, object_id, source, state, attempts, retry_at, error, key)
     SELECT $1, id, $2, $3, 6, CASE WHEN $3 = 'parked' THEN now() + interval '1 day' END, jsonb_build_object('code', $4::text),
       jsonb_build_object('id', id) FROM unnest($5::text[]) AS id`,
    [namespace, 'public.products', state, code, ids],
  )

const dirtyKeys = async (): Promise<unknown[]> =>
  (await db.query('SELECT key, force FROM safetykit.dirty ORDER BY key')).rows

describe('safetykit-sync retry', () => {
  it('has refused objects sent again by a sidecar that runs, each once, and says how many of what', async () => {
    const api = await emulatorForTest({ apiKey })
    await refuse('products', [1, 2, 3], 'dead')
    await refuse('products', [4], 'parked', 'OBJECT_TOO_LARGE')
    const env = { DATABASE_URL: db.url, SAFETYKIT_API_KEY: apiKey, SAFETYKIT_BASE_URL: api.url }
    const sidecar = startSidecar({ cwd: directory.dir, env })
    try {
      await db.query('DELETE FROM safetykit.dirty')
      expect(await retried('--namespace', 'products')).toMatchObject({
        dryRun: false,
        objects: 4,
        groups: [
          { namespace: 'products', code: 'API_REJECTED', state: 'dead', objects: 3 },
          { namespace: 'products', code: 'OBJECT_TOO_LARGE', state: 'parked', objects: 1 },
        ],
        waiting: 0,
        unmapped: 0,
      })
      await soon(async () => {
        const { rows } = await db.query(`SELECT state, attempts FROM safetykit.objects WHERE namespace = 'products'`)
        expect(rows).toEqual(Array.from({ length: 4 }, () => ({ state: 'accepted', attempts: 0 })))
        expect(await dirtyKeys()).toEqual([])
      })
      for (const id of ['1', '2', '3', '4']) expect(api.history('products', id)).toHaveLength(1)
    } finally {
      sidecar.kill()
      await sidecar.exited
    }
  })

  it('takes those that fit all that is said, by namespace, id, code and state, up to a limit', async () => {
    await refuse('products', [1, 2, 3], 'dead')
    await refuse('items', [1, 2], 'dead', 'OBJECT_INVALID')
    await refuse('items', [3], 'parked', 'OBJECT_INVALID')
    const counted = async (filter: RetryFilter, limit?: number): Promise<number> =>
      (await retryHere({ resolved, ledger: db.pool, defaultSchema: 'public', filter, limit, dryRun: true })).objects
    expect(await counted({})).toBe(6)
    expect(await counted({ namespaces: ['items'], state: 'dead' })).toBe(2)
    expect(await counted({ codes: ['API_REJECTED', 'OBJECT_INVALID'], ids: ['1', '3'] })).toBe(4)
    expect(await counted({ state: 'dead' }, 4)).toBe(4)
    expect(await retried('--dry-run')).toMatchObject({ dryRun: true, objects: 6 })
    expect(await dirtyKeys()).toEqual([])
    expect(await retried('--state', 'dead', '--namespace', 'products', '--limit', '2')).toMatchObject({ objects: 2 })
    expect(await dirtyKeys()).toEqual([
      { key: { id: '1' }, force: false },
      { key: { id: '2' }, force: false },
    ])
  })

  it('leaves alone what waits already and what is not mapped any more, so that it can be killed and repeated', async () => {
    await refuse('products', [1, 2], 'dead')
    await refuse('retired', [3], 'dead')
    expect(await retried('--all')).toMatchObject({ objects: 2, waiting: 0, unmapped: 1 })
    expect(await retried('--all')).toMatchObject({ objects: 0, groups: [], waiting: 2, unmapped: 1 })
    expect(await dirtyKeys()).toHaveLength(2)
    // Who names it knows why.
    expect(await retried('--id', '1')).toMatchObject({ objects: 1, waiting: 0 })
    expect(await dirtyKeys()).toHaveLength(3)
  })

  it('is one transaction for some hundred objects: what is killed in between has done a part, and none of it twice', async () => {
    await db.query(
      `INSERT INTO safetykit.objects (namespace, object_id, source, state, key)
       SELECT 'products', lpad(g::text, 5, '0'), 'public.products', 'dead', jsonb_build_object('id', g::text)
       FROM generate_series(1, 2000) g`,
    )
    const holder = await db.client()
    await holder.query('BEGIN')
    await holder.query(`SELECT FROM safetykit.objects WHERE object_id = '01200' FOR UPDATE`)
    const waits = retry('--all')
    await soon(async () => expect((await dirtyKeys()).length).toBe(1_000))
    await db.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'safetykit-sync retry' AND datname = $1`,
      [db.name],
    )
    expect((await waits).code).not.toBe(0)
    await holder.query('ROLLBACK')
    expect(await retried('--all')).toMatchObject({ objects: 1_000, waiting: 1_000 })
    const { rows } = await db.query(
      'SELECT count(*)::integer, count(DISTINCT key)::integer AS keys FROM safetykit.dirty',
    )
    expect(rows).toEqual([{ count: 2_000, keys: 2_000 }])
  })

  it('says what there is where nothing fits, and the nearest name', async () => {
    await refuse('products', [1], 'dead')
    const { code, stdout } = await retry('--namespace', 'product', '--code', 'API_REJECTD')
    expect(code).toBe(0)
    expect(stdout).toContain('Did you mean products?')
    expect(stdout).toContain('Did you mean API_REJECTED?')
    expect(stdout).toContain('products  API_REJECTED  1 dead')
    await db.query('TRUNCATE safetykit.objects')
    expect((await retry('--all')).stdout).toContain('no object is parked or dead')
  })

  it('says what has to run, by who was heard of, and asks for --all where nothing is said', async () => {
    await refuse('products', [1, 2], 'dead')
    expect(await retry()).toMatchObject({ code: 2, stderr: expect.stringContaining('--all') })
    expect((await retry('--id', '1')).stdout).toContain('this has to run: safetykit-sync run')
    await db.query(
      `INSERT INTO safetykit.heartbeats (process, started_at, beat_at, state, since)
       VALUES (gen_random_uuid(), now(), now(), 'working', now())`,
    )
    const { stdout } = await retry('--id', '2')
    expect(stdout).toContain('1 object is to be sent again')
    expect(stdout).toContain('A process that delivers was heard of')
  })
})
