import pg, { type ClientBase } from 'pg'
import { type Count, estimateRows } from './count.js'

/** The objects of a namespace by their state. */
export interface NamespaceReport {
  readonly namespace: string
  readonly accepted: Count
  readonly parked: Count
  readonly dead: Count
}

/** A namespace with more objects is estimated: this many are counted from the index in some tens of milliseconds. */
const exactUpTo = 100_000

/**
 * Counts the objects by namespace and state. Refused ones have an index of their own and are counted exactly up to the
 * limit; what is not refused is accepted.
 * @param schema quoted.
 * @param configured namespaces that are listed even without an object.
 */
export async function readObjectCounts(
  client: ClientBase,
  schema: string,
  configured: readonly string[],
): Promise<NamespaceReport[]> {
  const counted = await countNamespaces(client, schema)
  const totals = await withEstimates(client, schema, counted)
  const refused = await countRefused(client, schema)
  const names = [...new Set([...configured, ...totals.keys()])].sort()
  const reports: NamespaceReport[] = []
  for (const namespace of names) {
    const total = totals.get(namespace) ?? { count: 0, estimated: false }
    const parked = refused(namespace, 'parked')
    const dead = refused(namespace, 'dead')
    const accepted = {
      count: Math.max(0, total.count - parked.count - dead.count),
      estimated: total.estimated || parked.estimated || dead.estimated,
    }
    reports.push({ namespace, accepted, parked, dead })
  }
  return reports
}

/** Each namespace's objects, counted no further than one past the limit; the namespaces are found by hops over the key. */
async function countNamespaces(client: ClientBase, schema: string): Promise<Map<string, number>> {
  const { rows } = await client.query<{ namespace: string; total: string }>(
    `WITH RECURSIVE found AS (
       SELECT min(namespace) AS namespace FROM ${schema}.objects
       UNION ALL
       SELECT (SELECT min(o.namespace) FROM ${schema}.objects o WHERE o.namespace > found.namespace)
         FROM found WHERE found.namespace IS NOT NULL
     )
     SELECT namespace, (SELECT count(*) FROM (
              SELECT FROM ${schema}.objects o WHERE o.namespace = found.namespace LIMIT $1) AS counted) AS total
       FROM found WHERE namespace IS NOT NULL`,
    [exactUpTo + 1],
  )
  return new Map(rows.map((row) => [row.namespace, Number(row.total)]))
}

/**
 * Past the limit, the namespaces share what the table holds besides the others. Its size is known even where it was never
 * analysed; how it is shared is as good as the statistics are.
 */
async function withEstimates(
  client: ClientBase,
  schema: string,
  counted: ReadonlyMap<string, number>,
): Promise<Map<string, Count>> {
  const totals = new Map<string, Count>()
  const shares = new Map<string, number>()
  let rest = 0
  for (const [namespace, count] of counted) {
    totals.set(namespace, { count, estimated: false })
    if (count <= exactUpTo) {
      rest -= count
      continue
    }
    const sql = `SELECT FROM ${schema}.objects WHERE namespace = ${pg.escapeLiteral(namespace)}`
    shares.set(namespace, Math.max(count, await estimateRows(client, sql)))
  }
  if (shares.size === 0) return totals
  rest += await estimateRows(client, `SELECT FROM ${schema}.objects`)
  const sum = [...shares.values()].reduce((a, b) => a + b, 0)
  for (const [namespace, share] of shares) {
    totals.set(namespace, { count: Math.max(exactUpTo + 1, Math.round((rest * share) / sum)), estimated: true })
  }
  return totals
}

type RefusedCount = (namespace: string, state: 'parked' | 'dead') => Count

async function countRefused(client: ClientBase, schema: string): Promise<RefusedCount> {
  const { rows } = await client.query<{ namespace: string; state: string; count: string }>(
    `SELECT namespace, state, count(*) FROM (
       SELECT namespace, state FROM ${schema}.objects WHERE state IN ('parked', 'dead') LIMIT $1) AS counted
      GROUP BY namespace, state`,
    [exactUpTo + 1],
  )
  // Past the limit nobody knows how many more there are of which kind: what was counted is the least.
  const estimated = rows.reduce((sum, row) => sum + Number(row.count), 0) > exactUpTo
  const counts = new Map(rows.map((row) => [JSON.stringify([row.namespace, row.state]), Number(row.count)]))
  return (namespace, state) => ({ count: counts.get(JSON.stringify([namespace, state])) ?? 0, estimated })
}
