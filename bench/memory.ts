import { openStage, rows, startCommand, startEmulator, table, until } from './workload.js'

export interface MemoryResult {
  readonly total: number
  readonly seconds: number
  /** The sidecar's largest resident memory, from its start to the end of the drain. */
  readonly peakMb: number
}

/** One transaction of `total` rows drains into an API that takes 50 ms a request. */
export async function memory(options: { readonly total: number }): Promise<MemoryResult> {
  const { total } = options
  const stage = await openStage()
  const emulator = await startEmulator(['--no-objects', '--latency-ms', '50'])
  const names = { schema: 'safetykit', slot: 'memory' }
  try {
    await stage.db.query(table)
    const env = { ...emulator.env, DATABASE_URL: stage.server.url() }
    const config = stage.configure(names)
    await startCommand(['migrate', '--config', config], env).sees('Made the replication slot')
    await stage.db.query(rows('1', String(total)))
    const sidecar = startCommand(['run', '--config', config], env)
    await sidecar.sees('Replication has started')
    const began = performance.now()
    await until(async () => {
      const { rows: counted } = await stage.db.query(
        'SELECT coalesce(sum(object_count), 0) AS n FROM safetykit.requests',
      )
      return Number(counted[0]?.n) >= total
    }, 100)
    const seconds = (performance.now() - began) / 1000
    const peakMb = sidecar.peakMemoryMb()
    await sidecar.stop()
    return { total, seconds, peakMb }
  } finally {
    await emulator.command.stop()
    await stage.close()
  }
}
