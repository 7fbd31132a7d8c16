import { setTimeout as sleep } from 'node:timers/promises'
import { openStage, percentile, rows, startCommand, startEmulator, table, until } from './workload.js'

export interface LatencyResult {
  readonly commits: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/**
 * From the answer to a COMMIT until another connection sees the object in the side tables. It looks every 2 ms, so a
 * figure is up to that much too high.
 */
export async function latency(options: {
  readonly perSecond: number
  readonly seconds: number
}): Promise<LatencyResult> {
  const { perSecond, seconds } = options
  const stage = await openStage()
  const emulator = await startEmulator(['--no-history'])
  try {
    await stage.db.query(table)
    const env = { ...emulator.env, DATABASE_URL: stage.server.url() }
    const config = stage.configure({ schema: 'safetykit', slot: 'latency' })
    await startCommand(['migrate', '--config', config], env).sees('Made the replication slot')
    const sidecar = startCommand(['run', '--config', config], env)
    await sidecar.sees('Replication has started')

    const committed = new Map<string, number>()
    const latencies: number[] = []
    const total = perSecond * seconds
    const warmUp = perSecond
    const writing = (async () => {
      const began = performance.now()
      for (let n = 1; n <= total; n += 1) {
        const due = began + (n * 1000) / perSecond
        if (due > performance.now()) await sleep(due - performance.now())
        await stage.db.query(rows(String(n), String(n)))
        committed.set(String(n), performance.now())
      }
    })()
    const watcher = await stage.connect()
    await until(async () => {
      const waiting = [...committed.keys()]
      if (waiting.length === 0) return false
      const { rows: found } = await watcher.query<{ object_id: string }>(
        `SELECT object_id FROM safetykit.objects WHERE namespace = 'products' AND object_id = ANY($1)`,
        [waiting],
      )
      const now = performance.now()
      for (const { object_id: id } of found) {
        if (Number(id) > warmUp) latencies.push(now - (committed.get(id) ?? now))
        committed.delete(id)
      }
      return latencies.length === total - warmUp
    }, 2)
    await writing
    await sidecar.stop()
    return {
      commits: latencies.length,
      perSecond,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
    }
  } finally {
    await emulator.command.stop()
    await stage.close()
  }
}
