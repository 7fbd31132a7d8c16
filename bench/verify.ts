import { silentLogger } from '../src/logger.js'
import { openDatabases } from '../src/pipeline/databases.js'
import { TableWalk } from '../src/pipeline/scan/table-walk.js'
import { Sources } from '../src/pipeline/sources.js'
import { defineSync } from '../src/sync.js'
import { copySeconds } from './copy.js'
import { openStage, rows, startCommand, table, watchBackends } from './workload.js'

export interface VerifyResult {
  readonly total: number
  readonly runs: readonly VerifyRun[]
}

export interface VerifyRun {
  /** Rows a second. */
  readonly copy: number
  readonly verify: number
  readonly ratio: number
  /** The largest resident memory of the process. */
  readonly peakMb: number
  /** Processor time in microseconds a row. */
  readonly costs: { readonly process: number; readonly source: number; readonly ledger: number }
}

/**
 * `safetykit-sync verify` of a table that is in step, from the process' start to its end; against COPY of the mapped
 * columns to STDOUT in the same run, in turns.
 */
export async function verify(options: {
  readonly total: number
  readonly runs: number
  readonly profile?: string | undefined
}): Promise<VerifyResult> {
  const { total } = options
  const stage = await openStage()
  try {
    const { db, server } = stage
    await db.query(table)
    for (let from = 1; from <= total; from += 500_000) {
      await db.query(rows(String(from), String(Math.min(total, from + 499_999))))
    }
    const env = { DATABASE_URL: server.url() }
    const config = stage.configure({ schema: 'safetykit', slot: 'none', capture: 'trigger' })
    await startCommand(['migrate', '--config', config], env).ended()
    await recordAll(server.url())
    await db.query('VACUUM ANALYZE products')
    await db.query('VACUUM ANALYZE safetykit.objects')
    await db.query('CHECKPOINT')
    const runs: VerifyRun[] = []
    for (let run = 0; run < options.runs; run += 1) {
      const micros = (used: number): number => (used * 1e6) / total
      const copy = total / (await copySeconds(server.url()))
      const node = options.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', options.profile]
      const backends = watchBackends(db)
      const began = performance.now()
      const { peakMb, cpu } = await startCommand(['verify', '--config', config], env, node).measured()
      const rate = total / ((performance.now() - began) / 1000)
      const { source, ledger } = await backends.stop()
      const costs = { process: micros(cpu), source: micros(source), ledger: micros(ledger) }
      runs.push({ copy, verify: rate, ratio: rate / copy, peakMb, costs })
    }
    return { total, runs }
  } finally {
    await stage.close()
  }
}

/** Fills the ledger as if every row had been accepted as it is, by the walk that is measured later. */
async function recordAll(databaseUrl: string): Promise<void> {
  const columns = ['title', 'description', 'price', 'currency', 'seller_id', 'tags', 'attributes', 'created_at']
  const { resolved } = defineSync({
    capture: 'trigger',
    tables: {
      'public.products': { namespace: 'products', fields: Object.fromEntries(columns.map((name) => [name, true])) },
    },
  })
  const databases = openDatabases({ databaseUrl, resolved, logger: silentLogger })
  try {
    const { source: db, defaultSchema } = databases
    const sources = await Sources.open({ db, resolved, defaultSchema, logger: silentLogger })
    const walk = new TableWalk({ db, sources, source: 'public.products' })
    for (let chunk = await walk.next(); chunk !== null; chunk = await walk.next()) {
      const objects = chunk.targets.flatMap(({ mapped }) =>
        mapped.flatMap((one) => (one.kind === 'object' ? [one] : [])),
      )
      await databases.ledger.query(
        `INSERT INTO safetykit.objects (namespace, object_id, source, state, request_id, fingerprint, accepted_at)
         SELECT 'products', id, 'public.products', 'accepted', 'req_1', fingerprint, now()
         FROM unnest($1::text[], $2::text[]) AS one (id, fingerprint)`,
        [objects.map(({ id }) => id), objects.map(({ fingerprint }) => fingerprint)],
      )
    }
  } finally {
    await databases.close()
  }
}
