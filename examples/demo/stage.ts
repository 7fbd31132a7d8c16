import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { RunningCommand } from '../../test/support/sidecar.js'
import { code, done } from '../print.js'
import { end, openStage, type Stage } from '../stage.js'

/** What a production system has, on this machine: a database, an API, and the sidecar between them. */
export interface DemoStage extends Stage {
  readonly db: pg.Client
  readonly sidecar: RunningCommand
  /** The sidecar settles what is in flight and says how it ended. */
  stopSidecar(): Promise<void>
}

/** Starts all of it. On an error, or once `signal` is aborted, nothing is left. */
export async function openDemoStage(signal: AbortSignal): Promise<DemoStage> {
  const stage = await openStage({ home: fileURLToPath(new URL('.', import.meta.url)), signal })
  try {
    code('$ safetykit-sync run')
    const sidecar = stage.command(['run'])
    await sidecar.waitFor((logged) => logged.msg === 'Replication has started')
    done(`The sidecar reads the WAL, as process ${sidecar.pid}`)
    signal.throwIfAborted()

    const db = new pg.Client({ connectionString: stage.databaseUrl })
    // The server goes away before this process does.
    db.on('error', () => {})
    await db.connect()
    stage.closing(() => db.end())
    return {
      ...stage,
      db,
      sidecar,
      async stopSidecar() {
        const { code } = await end(sidecar)
        if (code !== 0) throw new Error(`The sidecar ended with ${code}\n${sidecar.stdout()}`)
      },
    }
  } catch (error) {
    await stage.close()
    throw error
  }
}
