import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type PruneOptions, type PruneReport, prune } from '../../src/operate/prune.js'
import { migrate } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { type ConfigDirectory, runCommand, startCommand, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'

const days = 86_400_000
const config = {
  capture: 'trigger',
  tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
} as const

let db: TestDatabase
let directory: ConfigDirectory

beforeEach(async () => {
  db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)' })
  await migrate({ resolved: defineSync(config).resolved, databaseUrl: db.url })
  directory = await writeConfig(config)
})
afterEach(async () => {
  await directory.remove()
  await db.drop()
})

/** A request so many days ago with these objects; each object's newest one is the one that the ledger names. */
async function sent(requestId: string, daysAgo: number, ids: readonly string[], completed = true): Promise<void> {
  const at = new Date(Date.now() - daysAgo * days)
  await db.query(
    `INSERT INTO safetykit.requests (request_id, namespace, kind, object_count, status, created_at, updated_at, completed_at)
     VALUES ($1, 'products', 'add', $2, 'succeeded', $3, $3, $4)`,
    [requestId, ids.length, at, completed ? at : null],
  )
  await db.query(
    `INSERT INTO safetykit.submissions (namespace, object_id, request_id, submitted_at)
     SELECT 'products', id, $1, $2 FROM unnest($3::text[]) AS id`,
    [requestId, at, ids],
  )
  await db.query(
    `INSERT INTO safetykit.objects (namespace, object_id, source, state, request_id, accepted_at)
     SELECT 'products', id, 'public.products', 'accepted', $1, $2 FROM unnest($3::text[]) AS id
     ON CONFLICT (namespace, object_id) DO UPDATE SET request_id = excluded.request_id`,
    [requestId, at, ids],
  )
}

async function pruned(options: Partial<PruneOptions> = {}): Promise<PruneReport> {
  return prune({ ledger: await db.client(), schema: 'safetykit', olderThanMs: 90 * days, ...options })
}

const requests = async (): Promise<string[]> =>
  (await db.query('SELECT request_id FROM safetykit.requests ORDER BY request_id')).rows.map(
    (row) => `${row.request_id}`,
  )

const submissions = async (): Promise<string[]> =>
  (await db.query('SELECT request_id, object_id FROM safetykit.submissions ORDER BY 1, 2')).rows.map(
    (row) => `${row.request_id} ${row.object_id}`,
  )

const ids = (count: number, from = 0): string[] => Array.from({ length: count }, (_, at) => String(at + from))

describe('prune', () => {
  it('deletes submissions that newer ones have replaced, and a request once nothing of it is left', async () => {
    await sent('a', 200, ['1', '2'])
    await sent('b', 150, ['1'])
    await sent('c', 100, ['1', '3'])
    await sent('d', 10, ['1', '3'])
    // What 2 was last sent in, and with it the request, stays however old; and all that is not old.
    const expected = { submissions: 4, requests: 2 }
    expect(await pruned({ dryRun: true })).toMatchObject({ dryRun: true, ...expected })
    expect(await submissions()).toHaveLength(7)
    expect(await pruned()).toMatchObject({ dryRun: false, finished: true, ...expected })
    expect(await submissions()).toEqual(['a 2', 'd 1', 'd 3'])
    expect(await requests()).toEqual(['a', 'd'])
    expect(await pruned()).toMatchObject({ submissions: 0, requests: 0 })
    await sent('e', 9, ['2'])
    expect(await pruned()).toMatchObject({ submissions: 1, requests: 1 })
    expect(await requests()).toEqual(['d', 'e'])
  })

  it('keeps what an evaluation is of, what is open, and imports that a backfill is about to record', async () => {
    for (const id of ['evaluated', 'open', 'import', 'old']) await sent(id, 100, ['1'], id !== 'open')
    await sent('new', 1, ['1'])
    await db.query(`UPDATE safetykit.objects SET evaluated_request_id = 'evaluated'`)
    await db.query(
      `INSERT INTO safetykit.scans (source, reason, cursor, started_at, updated_at)
       VALUES ('public.products', 'backfill', '{"parts": [{"requestId": "import"}]}', now(), now())`,
    )
    // Of a request that the ledger does not hold: its record may be under way.
    await db.query(
      `INSERT INTO safetykit.submissions (namespace, object_id, request_id, submitted_at)
       VALUES ('products', '1', 'unknown', now() - interval '100 days')`,
    )
    expect(await pruned()).toMatchObject({ submissions: 1, requests: 1 })
    expect(await requests()).toEqual(['evaluated', 'import', 'new', 'open'])
    expect(await submissions()).toEqual(['evaluated 1', 'import 1', 'new 1', 'open 1', 'unknown 1'])
  })

  it('deletes applied webhooks, heartbeats of processes that are gone, and scans that came to their end', async () => {
    await db.query(
      `INSERT INTO safetykit.webhooks (webhook_id, received_at, namespace, object_id, request_id, applied_at)
       SELECT w, now() - interval '100 days', 'products', '1', 'r', applied FROM (VALUES
         ('old', now() - interval '99 days'), ('waits', NULL), ('new', now())) AS v (w, applied);
       INSERT INTO safetykit.heartbeats (process, started_at, beat_at, state, since)
       SELECT gen_random_uuid(), now() - interval '9 days', now() - age, 'working', now() FROM (VALUES
         (interval '2 days'), (interval '2 seconds')) AS v (age);
       INSERT INTO safetykit.scans (source, reason, started_at, updated_at, finished_at)
       SELECT 'public.products', reason, now() - interval '100 days', now() - interval '99 days', finished FROM (VALUES
         ('mark', now() - interval '99 days'), ('every', now() - interval '99 days'), ('backfill', NULL)) AS v (reason, finished)`,
    )
    const expected = { webhooks: 1, heartbeats: 1, scans: 1 }
    expect(await pruned({ dryRun: true })).toMatchObject(expected)
    expect(await pruned()).toMatchObject(expected)
    const { rows } = await db.query(
      `SELECT webhook_id AS left FROM safetykit.webhooks UNION ALL SELECT reason FROM safetykit.scans`,
    )
    expect(rows.map((row) => row.left).sort()).toEqual(['backfill', 'every', 'new', 'waits'])
  })

  it('works in transactions that are small, holds nothing in between, and goes on after it was stopped', async () => {
    await sent('a', 200, ids(3_000))
    await sent('b', 150, ids(3_000))
    await sent('c', 1, ids(3_000))
    const client = await db.client()
    const pid = (await client.query('SELECT pg_backend_pid() AS pid')).rows[0]?.pid
    const stopping = new AbortController()
    const gone: number[] = []
    const stopped = await prune({
      ledger: client,
      schema: 'safetykit',
      olderThanMs: 90 * days,
      batch: 500,
      signal: stopping.signal,
      onProgress({ submissions }) {
        gone.push(submissions)
        if (gone.length === 3) stopping.abort()
      },
    })
    expect(stopped).toMatchObject({ finished: false, submissions: gone[2] })
    expect(gone[2]).toBeLessThan(6_000)
    // Nothing is open on its connection, and what it says has gone has gone.
    const { rows } = await db.query('SELECT state FROM pg_stat_activity WHERE pid = $1', [pid])
    expect(rows).toEqual([{ state: 'idle' }])
    expect(await submissions()).toHaveLength(9_000 - stopped.submissions)
    expect(await pruned({ batch: 500 })).toMatchObject({
      finished: true,
      submissions: 6_000 - stopped.submissions,
      requests: 2 - stopped.requests,
    })
    expect(await requests()).toEqual(['c'])
  })

  it('does not read all submissions to find those of a request', async () => {
    for (const [at, id] of ['a', 'b', 'c'].entries()) await sent(id, 200 - at, ids(2_000, at))
    await db.query('ANALYZE safetykit.submissions')
    const { rows } = await db.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT s.object_id FROM safetykit.requests r
       JOIN safetykit.submissions s ON s.submitted_at = r.created_at AND s.request_id = r.request_id WHERE r.request_id = 'b'`,
    )
    expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toContain('submissions_submitted')
  })
})

describe('safetykit-sync prune', () => {
  const env = (): Record<string, string> => ({ DATABASE_URL: db.url })

  it('takes 90 days where nothing is said, prints what went, and refuses less than a week', async () => {
    await sent('a', 100, ['1'])
    await sent('b', 80, ['1'])
    await sent('c', 1, ['1'])
    const json = await runCommand(['prune', '--json'], { cwd: directory.dir, env: env() })
    expect(json).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(json.stdout)).toMatchObject({ submissions: 1, requests: 1, finished: true, dryRun: false })
    const text = await runCommand(['prune', '--older-than', '2w'], { cwd: directory.dir, env: env() })
    expect(text.stdout).toContain('1 submissions, 1 requests')
    const short = await runCommand(['prune', '--older-than', '6d'], { cwd: directory.dir, env: env() })
    expect(short).toMatchObject({ code: 2, stderr: expect.stringContaining('7d') })
  })

  it('ends on SIGTERM after the transaction that is under way, and the same command does the rest', async () => {
    await sent('a', 200, ids(2_000))
    await sent('b', 1, ids(2_000))
    // Its third transaction waits for this one.
    const holder = await db.client()
    await holder.query('BEGIN')
    await holder.query(`SELECT FROM safetykit.submissions WHERE request_id = 'a' AND object_id = '900' FOR UPDATE`)
    const command = startCommand(['prune', '--batch', '100', '--json'], { cwd: directory.dir, env: env() })
    await soon(async () => {
      const { rows } = await db.query(
        `SELECT FROM pg_stat_activity WHERE datname = $1 AND application_name = 'safetykit-sync prune' AND wait_event_type = 'Lock'`,
        [db.name],
      )
      expect(rows).toHaveLength(1)
    })
    command.kill('SIGTERM')
    await holder.query('COMMIT')
    expect(await command.exited).toMatchObject({ code: 143 })
    const report = JSON.parse(command.stdout())
    expect(report).toMatchObject({ finished: false })
    expect(await submissions()).toHaveLength(4_000 - report.submissions)
    expect(await runCommand(['prune'], { cwd: directory.dir, env: env() })).toMatchObject({ code: 0 })
    expect(await submissions()).toHaveLength(2_000)
  })
})
