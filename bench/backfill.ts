import { copySeconds } from './copy.js'
import { cpuSeconds, openStage, rows, startCommand, startEmulator, table, watchBackends } from './workload.js'

export interface BackfillResult {
  readonly total: number
  readonly runs: readonly BackfillRun[]
}

export interface BackfillRun {
  /** Rows a second. */
  readonly copy: number
  readonly backfill: number
  readonly ratio: number
  /** The largest resident memory of the process. */
  readonly peakMb: number
  /** Processor time in microseconds a row. */
  readonly costs: { readonly process: number; readonly source: number; readonly ledger: number; readonly api: number }
}

/**
 * `safetykit-sync backfill` of a table that the ledger knows nothing of, by import, from the process' start until it has
 * ended with all recorded; against COPY of the mapped columns to STDOUT in the same run, in turns.
 */
export async function backfill(options: {
  readonly total: number
  readonly runs: number
  readonly profile?: string | undefined
}): Promise<BackfillResult> {
  const { total } = options
  const stage = await openStage()
  const emulator = await startEmulator(['--no-objects'])
  try {
    const { db, server } = stage
    await db.query(table)
    for (let from = 1; from <= total; from += 500_000) {
      await db.query(rows(String(from), String(Math.min(total, from + 499_999))))
    }
    await db.query('VACUUM ANALYZE products')
    const env = { ...emulator.env, DATABASE_URL: server.url() }
    const runs: BackfillRun[] = []
    for (let run = 0; run < options.runs; run += 1) {
      const schema = `safetykit_${run}`
      const config = stage.configure({ schema, slot: 'none', capture: 'trigger' })
      await startCommand(['migrate', '--config', config], env).ended()
      await db.query('CHECKPOINT')
      const copy = total / (await copySeconds(server.url()))
      const api = emulator.command.process.pid
      const before = cpuSeconds(api)
      const backends = watchBackends(db)
      const node = options.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', options.profile]
      const began = performance.now()
      const command = startCommand(['backfill', '--config', config], env, node)
      const { peakMb, cpu } = await command.measured()
      const seconds = (performance.now() - began) / 1000
      const used = await backends.stop()
      const { rows: counts } = await db.query(
        `SELECT (SELECT count(*) FROM ${schema}.objects WHERE state = 'accepted') AS objects,
           (SELECT count(*) FROM ${schema}.submissions) AS submissions`,
      )
      if (Number(counts[0]?.objects) !== total || Number(counts[0]?.submissions) !== total) {
        throw new Error(`${JSON.stringify(counts[0])} of ${total} are recorded`)
      }
      const micros = (used: number): number => (used * 1e6) / total
      runs.push({
        copy,
        backfill: total / seconds,
        ratio: total / seconds / copy,
        peakMb,
        costs: {
          process: micros(cpu),
          source: micros(used.source),
          ledger: micros(used.ledger),
          api: micros(cpuSeconds(api) - before),
        },
      })
      await db.query(`DROP SCHEMA ${schema} CASCADE`)
    }
    return { total, runs }
  } finally {
    await emulator.command.stop()
    await stage.close()
  }
}
