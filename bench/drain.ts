import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { cpuSeconds, openStage, rows, type Stage, startCommand, startEmulator, table, until } from './workload.js'

export interface DrainResult {
  readonly label: string
  /** Rows a second, of each run. */
  readonly reader: readonly number[]
  readonly sidecar: readonly number[]
  readonly ratios: readonly number[]
  /** Processor time of each run, in microseconds a row. */
  readonly costs: readonly Costs[]
}

type Costs = Readonly<Record<'sidecar' | 'ledger' | 'walsender' | 'api', number>>

/**
 * The same WAL twice: pg_recvlogical writes it to /dev/null; the sidecar delivers it until the side tables have all of it.
 * Each run has slots of its own, made before the rows were written, and the two take turns.
 */
export async function drain(options: {
  readonly total: number
  readonly perTransaction: number
  readonly runs: number
  readonly profile?: string | undefined
}): Promise<DrainResult> {
  const { total, perTransaction, runs } = options
  const stage = await openStage()
  const emulator = await startEmulator(['--no-objects'])
  try {
    const { db, server } = stage
    await db.query(table)
    const env = { ...emulator.env, DATABASE_URL: server.url() }
    for (let run = 0; run < runs; run += 1) {
      await startCommand(['migrate', '--config', stage.configure(names(run))], env).sees('Made the replication slot')
      await db.query(`SELECT pg_create_logical_replication_slot('reader_${run}', 'pgoutput')`)
    }
    await db.query(`DO $$ BEGIN FOR i IN 0..${total / perTransaction - 1} LOOP
      ${rows(`i * ${perTransaction} + 1`, `(i + 1) * ${perTransaction}`)}; COMMIT; END LOOP; END $$`)
    // The reader ends at the first change past this position: one more row, so that it need not look for the next.
    const { rows: ends } = await db.query('SELECT pg_current_wal_insert_lsn()::text AS lsn')
    const end = String(ends[0]?.lsn)
    await db.query(rows(String(total + 1), String(total + 1)))
    await db.query('CHECKPOINT')
    const reader: number[] = []
    const sidecar: number[] = []
    const costs: Costs[] = []
    for (let run = 0; run < runs; run += 1) {
      reader.push(total / (await readerSeconds(stage, `reader_${run}`, end)))
      const api = emulator.command.process.pid
      const measured = await runSidecar(stage, run, { total, env, api, profile: options.profile })
      sidecar.push(total / measured.seconds)
      costs.push(measured.costs)
    }
    const ratios = sidecar.map((rate, run) => rate / (reader[run] ?? Number.NaN))
    return {
      label: `${total.toLocaleString('en')} rows, ${perTransaction.toLocaleString('en')} a transaction`,
      reader,
      sidecar,
      ratios,
      costs,
    }
  } finally {
    await emulator.command.stop()
    await stage.close()
  }
}

const names = (run: number) => ({ schema: `safetykit_${run}`, slot: `sidecar_${run}` })

async function readerSeconds(stage: Stage, slot: string, end: string): Promise<number> {
  const began = performance.now()
  const args = ['--start', '--slot', slot, '-f', '/dev/null', '--no-loop', '--endpos', end]
  const options = ['-o', 'proto_version=1', '-o', 'publication_names=safetykit']
  const child = spawn(findReader(), ['-d', stage.server.url(), ...args, ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let errors = ''
  child.stderr.on('data', (chunk) => (errors += String(chunk)))
  const code = await new Promise((resolve) => child.once('exit', resolve))
  if (code !== 0) throw new Error(`pg_recvlogical ended with ${String(code)}: ${errors}`)
  return (performance.now() - began) / 1000
}

async function runSidecar(
  stage: Stage,
  run: number,
  options: {
    readonly total: number
    readonly env: Record<string, string>
    readonly api: number | undefined
    readonly profile: string | undefined
  },
): Promise<{ readonly seconds: number; readonly costs: Costs }> {
  const { total, env, api, profile } = options
  const { schema } = names(run)
  const node = profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile]
  const sidecar = startCommand(['run', '--config', stage.configure(names(run))], env, node)
  await sidecar.sees('Replication has started')
  const began = performance.now()
  const before = { sidecar: cpuSeconds(sidecar.process.pid), api: cpuSeconds(api) }
  await until(async () => {
    const { rows: counted } = await stage.db.query(`SELECT coalesce(sum(object_count), 0) AS n FROM ${schema}.requests`)
    return Number(counted[0]?.n) > total
  }, 20)
  const seconds = (performance.now() - began) / 1000
  const backends = await stage.db.query<{ pid: number; ledger: boolean }>(
    `SELECT pid, application_name = 'safetykit-sync ledger' AS ledger FROM pg_stat_activity
     WHERE application_name = 'safetykit-sync ledger' OR (application_name = 'safetykit-sync' AND backend_type = 'walsender')`,
  )
  const backendSeconds = (ledger: boolean): number =>
    backends.rows.filter((row) => row.ledger === ledger).reduce((sum, row) => sum + cpuSeconds(row.pid), 0)
  const micros = (used: number): number => (used * 1e6) / total
  const costs = {
    sidecar: micros(cpuSeconds(sidecar.process.pid) - before.sidecar),
    ledger: micros(backendSeconds(true)),
    walsender: micros(backendSeconds(false)),
    api: micros(cpuSeconds(api) - before.api),
  }
  const { rows: objects } = await stage.db.query(`SELECT count(*) AS n FROM ${schema}.objects WHERE state = 'accepted'`)
  if (Number(objects[0]?.n) !== total + 1) throw new Error(`${String(objects[0]?.n)} of ${total} objects are recorded`)
  await sidecar.stop()
  return { seconds, costs }
}

/** It comes with PostgreSQL's client packages, not with the embedded server. */
function findReader(): string {
  const folders = (process.env.PATH ?? '').split(':')
  const debian = '/usr/lib/postgresql'
  if (existsSync(debian)) folders.push(...readdirSync(debian).map((version) => `${debian}/${version}/bin`))
  const found = folders.map((folder) => `${folder}/pg_recvlogical`).find((file) => existsSync(file))
  if (found === undefined) throw new Error('pg_recvlogical is not installed: apt-get install postgresql-client')
  return found
}
