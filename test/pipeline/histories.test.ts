import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRig, type Rig } from '../support/pipeline.js'

const tables = {
  'public.products': [
    { namespace: 'products', fields: { title: true, body: true }, onDelete: 'tombstone' },
    {
      namespace: 'public-products',
      fields: { title: true },
      where: (row: { title?: unknown }) => row.title !== 'draft',
    },
  ],
  'public.lines': { namespace: 'lines', fields: { note: true }, onDelete: 'tombstone' },
}
const sql = `CREATE TABLE products (id integer PRIMARY KEY, title text, body text, views integer DEFAULT 0);
  ALTER TABLE products ALTER COLUMN body SET STORAGE EXTERNAL;
  CREATE TABLE lines (a integer, b text, note text, PRIMARY KEY (a, b))`
/** Larger than what stays in the row, so that updates of other columns leave it out of the WAL. */
const large = (letter: string): string => `repeat('${letter}', 2500)`

const id = fc.integer({ min: 1, max: 8 })
const title = fc.constantFrom('a', 'b', 'draft')
const write = fc.oneof(
  fc
    .tuple(id, title)
    .map(([n, t]) => `INSERT INTO products VALUES (${n}, '${t}') ON CONFLICT (id) DO UPDATE SET title = '${t}'`),
  fc.tuple(id, fc.constantFrom('x', 'y')).map(([n, l]) => `UPDATE products SET body = ${large(l)} WHERE id = ${n}`),
  fc.tuple(id, title).map(([n, t]) => `UPDATE products SET title = '${t}' WHERE id = ${n}`),
  id.map((n) => `UPDATE products SET views = views + 1 WHERE id = ${n}`),
  id.map((n) => `DELETE FROM products WHERE id = ${n}`),
  fc
    .tuple(id, id)
    .map(
      ([from, to]) =>
        `UPDATE products SET id = ${to} WHERE id = ${from} AND NOT EXISTS (SELECT FROM products WHERE id = ${to})`,
    ),
  fc
    .tuple(id, title)
    .map(([n, t]) => `INSERT INTO lines VALUES (${n % 3}, 'k', '${t}') ON CONFLICT (a, b) DO UPDATE SET note = '${t}'`),
  id.map((n) => `DELETE FROM lines WHERE a = ${n % 3}`),
  id.map((n) => `INSERT INTO safetykit.dirty (source, key) VALUES ('public.products', '{"id": "${n}"}')`),
)
const writes = fc.array(write, { minLength: 1, maxLength: 6 })

type Step =
  | { readonly kind: 'write' | 'commit' | 'rollback' | 'crash'; readonly writes: readonly string[] }
  | { readonly kind: 'savepoint'; readonly writes: readonly string[]; readonly lost: readonly string[] }
  | { readonly kind: 'stop' | 'abandon' | 'cut' }
  | { readonly kind: 'pause'; readonly ms: number }
  | { readonly kind: 'fault'; readonly fault: 'status' | 'resetAfterAccept' | 'reset' }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('write' as const, 'commit' as const), writes }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('rollback' as const, 'crash' as const), writes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('savepoint' as const), writes, lost: writes }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('stop' as const, 'abandon' as const, 'cut' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pause' as const), ms: fc.integer({ min: 0, max: 60 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      fault: fc.constantFrom('status' as const, 'resetAfterAccept' as const, 'reset' as const),
    }),
  },
)

async function run(rig: Rig, one: Step): Promise<void> {
  switch (one.kind) {
    case 'write':
      for (const statement of one.writes) await rig.db.query(statement)
      break
    case 'commit':
    case 'rollback':
      await rig.db.query(['BEGIN', ...one.writes, one.kind].join('; '))
      break
    case 'savepoint':
      await rig.db.query(['BEGIN', ...one.writes, 'SAVEPOINT s', ...one.lost, 'ROLLBACK TO s', 'COMMIT'].join('; '))
      break
    case 'crash': {
      // Accepted, and the process ends before it knows.
      const fault = rig.emulator.faults.add({ when: { path: 'add' }, do: { hangAfterAccept: true } })
      for (const statement of one.writes) await rig.db.query(statement)
      await sleep(40)
      await rig.abandon()
      fault.remove()
      await rig.start()
      break
    }
    case 'stop':
      await rig.stop()
      await rig.start()
      break
    case 'abandon':
      await rig.abandon()
      await rig.start()
      break
    case 'cut':
      await rig.db.query(
        'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active',
        [rig.db.name],
      )
      break
    case 'pause':
      await sleep(one.ms)
      break
    case 'fault': {
      const action =
        one.fault === 'status'
          ? { status: 503 }
          : one.fault === 'reset'
            ? { reset: true as const }
            : { resetAfterAccept: true as const }
      rig.emulator.faults.add({ when: { path: 'add', times: 1 }, do: action })
      break
    }
  }
}

/** What SafetyKit has to have, given the tables: the rows, and tombstones or older states for what is gone. */
async function expectInStep(rig: Rig): Promise<void> {
  const products = await rig.db.query<{ id: number; title: string; body: string | null }>(
    'SELECT id, title, body FROM products',
  )
  const lines = await rig.db.query<{ a: number; b: string; note: string }>('SELECT a, b, note FROM lines')
  const wanted = {
    products: new Map(products.rows.map((row) => [String(row.id), { ...row, id: String(row.id) }])),
    lines: new Map(lines.rows.map(({ a, b, note }) => [`${a}:${b}`, { id: `${a}:${b}`, note }])),
  }
  for (const namespace of ['products', 'lines'] as const) {
    const sent = rig.sent(namespace)
    for (const [key, object] of Object.entries(sent)) {
      expect(object).toEqual(wanted[namespace].get(key) ?? { id: key, deleted: true })
    }
    for (const key of wanted[namespace].keys()) expect(Object.keys(sent)).toContain(key)
  }
  for (const { id: key, title: seen } of products.rows) {
    if (seen !== 'draft') expect(rig.sent('public-products')[key]).toEqual({ id: String(key), title: seen })
  }
  for (const object of Object.values(rig.sent('public-products'))) expect(object).not.toMatchObject({ title: 'draft' })
}

interface Recorded {
  readonly namespace: string
  readonly object_id: string
  readonly state: string
  readonly request_id: string
  readonly fingerprint: string | null
}

/**
 * Every object under the request that it was last accepted in, and every recorded request complete. Where a crash left
 * a state in doubt and its row is gone without a tombstone, nothing is sent that would tell: the ledger says so by having
 * no fingerprint, or no row.
 */
async function expectRecorded(rig: Rig): Promise<void> {
  const recorded = new Map(
    (await rig.side<Recorded>('objects')).map((row) => [`${row.namespace}/${row.object_id}`, row] as const),
  )
  const live = await rig.db.query<{ id: number }>("SELECT id FROM products WHERE title IS DISTINCT FROM 'draft'")
  for (const namespace of rig.emulator.namespaces()) {
    for (const { id: key, requestId } of rig.emulator.objects(namespace).values()) {
      const row = recorded.get(`${namespace}/${key}`)
      const left = namespace === 'public-products' && !live.rows.some(({ id: n }) => String(n) === key)
      if (left && (row === undefined || row.fingerprint === null)) continue
      expect(row).toMatchObject({ state: 'accepted', request_id: requestId, fingerprint: expect.any(String) })
    }
  }
  for (const { namespace, object_id } of recorded.values()) {
    expect(rig.emulator.object(namespace, object_id)).toBeDefined()
  }
  const { rows } = await rig.db.query(`SELECT r.request_id FROM safetykit.requests r
    LEFT JOIN safetykit.submissions s ON s.request_id = r.request_id AND s.namespace = r.namespace
    GROUP BY r.request_id, r.object_count HAVING count(s.object_id) <> r.object_count`)
  expect(rows).toEqual([])
  expect(rig.emulator.violations).toEqual([])
}

test('any history of writes, stops, crashes and lost connections ends with SafetyKit in step with the tables', async () => {
  const rig = await createRig({
    sql,
    tables,
    settings: { delivery: { maxBatchAgeMs: 5, retryBaseMs: 10, retryMaxMs: 50 } },
  })
  try {
    await fc.assert(
      fc
        .asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), async (steps) => {
          await rig.start()
          for (const one of steps) await run(rig, one)
          rig.emulator.faults.clear()
          await rig.caughtUp()
          await expect.poll(() => rig.side('dirty'), { timeout: 60_000, interval: 20 }).toEqual([])
          await expectInStep(rig)
          await expectRecorded(rig)
        })
        .afterEach(async () => {
          // The next history begins with empty tables: those of the user, ours, and SafetyKit's.
          await rig.stop()
          rig.emulator.reset()
          await rig.db.query(`TRUNCATE products, lines, safetykit.objects, safetykit.requests, safetykit.submissions, safetykit.dirty,
            safetykit.horizons, safetykit.settings`)
          await rig.db.query('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())', [rig.db.name])
        }),
      { numRuns: 25, endOnFailure: true },
    )
  } finally {
    await rig.close()
  }
})
