import pg from 'pg'
import type { ResolvedSync } from '../config/resolved.js'
import { checkLedger } from '../ledger/migrate.js'
import { type Queryable, textArray } from '../ledger/postgres.js'
import type { RefusedGroup, RetryBounds, RetryFilter, RetryReport } from './retry-report.js'

export interface RetryOptions extends RetryBounds {
  readonly resolved: Pick<ResolvedSync, 'schema' | 'mappings'>
  /** Of the side tables' database: a client, or a pool. */
  readonly ledger: Queryable
  /** The schema of tables that are named without one. */
  readonly defaultSchema: string
  readonly filter: RetryFilter
}

/** Objects that are looked up at once, and those that are written in a transaction. */
const pageSize = 20_000
const batchSize = 500

/**
 * Puts the keys of refused objects into `dirty`, as if their rows had changed, and forgets how often they were refused:
 * whoever delivers takes them up.
 *
 * Each object is dealt with once, in a transaction with some hundred others, so that it may be killed and repeated, and run
 * beside processes that try parked objects again by themselves. The keys are not marked with `force`: a refused object is
 * sent in any case, and one that was accepted meanwhile need not be evaluated twice.
 * @throws {SyncError} `SCHEMA_OUTDATED` or `SCHEMA_NEWER` where the side tables are not those of this version.
 */
export async function retry(options: RetryOptions): Promise<RetryReport> {
  const { resolved, ledger, filter, limit = Number.POSITIVE_INFINITY, dryRun = false } = options
  await checkLedger(ledger, resolved.schema)
  const schema = pg.escapeIdentifier(resolved.schema)
  const named = filter.ids !== undefined
  const groups = new Map<string, RefusedGroup>()
  let objects = 0
  let waiting = 0
  let unmapped = 0
  let after: Found | undefined
  do {
    const page = await readPage(options, schema, after)
    after = page.length === pageSize ? page.at(-1) : undefined
    waiting += named ? 0 : page.filter((one) => one.mapped && one.waiting).length
    unmapped += page.filter((one) => !one.mapped).length
    const due = page.filter((one) => one.mapped && (named || !one.waiting)).slice(0, limit - objects)
    for (let at = 0; at < due.length; at += batchSize) {
      const batch = due.slice(at, at + batchSize)
      const done = dryRun ? batch : await requeue(ledger, schema, batch, named)
      objects += done.length
      for (const one of done) count(groups, one)
    }
  } while (after !== undefined && objects < limit)
  const delivering = await countDelivering(ledger, schema)
  return { dryRun, objects, groups: sorted(groups), waiting, unmapped, delivering }
}

/** The refused objects that there are, by namespace, code and state; of the first 100,000 where there are more. */
export async function readRefusedGroups(ledger: Queryable, schema: string): Promise<readonly RefusedGroup[]> {
  const { rows } = await ledger.query(
    `SELECT namespace, code, state, count(*)::integer AS objects FROM (
       SELECT namespace, error->>'code' AS code, state FROM ${pg.escapeIdentifier(schema)}.objects
       WHERE state IN ('parked', 'dead') LIMIT 100000) AS refused
     GROUP BY namespace, code, state ORDER BY namespace, code, state`,
  )
  return rows as unknown as RefusedGroup[]
}

interface Found {
  readonly namespace: string
  readonly id: string
  readonly code: string | null
  readonly state: 'parked' | 'dead'
  /** Its key is in `dirty`. */
  readonly waiting: boolean
  readonly mapped: boolean
}

/** All that are refused have an index of their own, and are sorted anew for each page: the key's index holds all others too. */
async function readPage(
  { resolved, ledger, defaultSchema, filter }: RetryOptions,
  schema: string,
  after: Found | undefined,
): Promise<Found[]> {
  const { namespaces, ids, codes, state } = filter
  const { rows } = await ledger.query(
    `WITH refused AS MATERIALIZED (
       SELECT o.namespace, o.object_id AS id, o.error->>'code' AS code, o.state, o.state = 'parked' AND o.retry_at IS NULL AS waiting,
         (o.source, o.namespace) IN (SELECT * FROM unnest($1::text[], $2::text[])) AS mapped
       FROM ${schema}.objects o
       WHERE o.state IN ('parked', 'dead') AND ($3::text[] IS NULL OR o.namespace = ANY ($3))
         AND ($4::text[] IS NULL OR o.object_id = ANY ($4)) AND ($5::text[] IS NULL OR o.error->>'code' = ANY ($5))
         AND ($6::text IS NULL OR o.state = $6)
     )
     SELECT * FROM refused WHERE (namespace, id) > ($7, $8) ORDER BY namespace, id LIMIT ${pageSize}`,
    [
      textArray(resolved.mappings.map(({ table }) => `${table.schema ?? defaultSchema}.${table.name}`)),
      textArray(resolved.mappings.map(({ namespace }) => namespace)),
      namespaces === undefined ? null : textArray(namespaces),
      ids === undefined ? null : textArray(ids),
      codes === undefined ? null : textArray(codes),
      state ?? null,
      after?.namespace ?? '',
      after?.id ?? '',
    ],
  )
  return rows as unknown as Found[]
}

/** In the order of their keys, as receipts are written: nobody can deadlock with it. Returns those that were still refused. */
async function requeue(ledger: Queryable, schema: string, batch: readonly Found[], named: boolean): Promise<Found[]> {
  const { rows } = await ledger.query(
    `WITH chosen AS (
       SELECT o.namespace, o.object_id FROM ${schema}.objects o
       JOIN unnest($1::text[], $2::text[]) AS k (namespace, object_id) USING (namespace, object_id)
       WHERE o.state = 'dead' OR o.state = 'parked' AND ($3 OR o.retry_at IS NOT NULL)
       ORDER BY o.namespace, o.object_id FOR NO KEY UPDATE OF o
     ), taken AS (
       UPDATE ${schema}.objects o SET state = 'parked', attempts = 0, retry_at = NULL FROM chosen c
       WHERE o.namespace = c.namespace AND o.object_id = c.object_id
       RETURNING o.namespace, o.object_id, o.source, o.key
     ), marked AS (
       INSERT INTO ${schema}.dirty (source, key) SELECT DISTINCT source, key FROM taken WHERE key IS NOT NULL
     )
     SELECT namespace, object_id FROM taken`,
    [textArray(batch.map(({ namespace }) => namespace)), textArray(batch.map(({ id }) => id)), named],
  )
  const taken = new Set(rows.map(({ namespace, object_id: id }) => `${namespace} ${id}`))
  return batch.filter(({ namespace, id }) => taken.has(`${namespace} ${id}`))
}

function count(groups: Map<string, RefusedGroup>, { namespace, code, state }: Found): void {
  const key = JSON.stringify([namespace, code, state])
  groups.set(key, { namespace, code, state, objects: (groups.get(key)?.objects ?? 0) + 1 })
}

const sorted = (groups: ReadonlyMap<string, RefusedGroup>): RefusedGroup[] =>
  [...groups.values()].sort((a, b) => b.objects - a.objects)

async function countDelivering(ledger: Queryable, schema: string): Promise<number> {
  const { rows } = await ledger.query(
    `SELECT count(*)::integer AS delivering FROM ${schema}.heartbeats
     WHERE state NOT IN ('stopped', 'standby') AND beat_at > now() - interval '1 minute'`,
  )
  return Number(rows[0]?.delivering ?? 0)
}
