import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { connectEmulator, type RemoteEmulator } from 'prisma-extension-safetykit/emulator'
import { applyMigrations } from '../../test/support/prisma.js'
import { ownServer } from '../../test/support/server.js'
import { type RunningCommand, runCommand, startCommand } from '../../test/support/sidecar.js'
import { code, done, line } from './print.js'

const cwd = fileURLToPath(new URL('.', import.meta.url))

/** What a production system has, on this machine: a database, an API, and the sidecar between them. */
export interface Stage {
  readonly databaseUrl: string
  readonly db: pg.Client
  readonly emulator: RemoteEmulator
  readonly sidecar: RunningCommand
  /** The sidecar settles what is in flight and says how it ended. */
  stopSidecar(): Promise<void>
  /** Ends every process, and deletes the database. */
  close(): Promise<void>
}

/** Starts all of it. On an error, or once `signal` is aborted, nothing is left. */
export async function openStage(signal: AbortSignal): Promise<Stage> {
  const closers: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer()
  }
  try {
    const server = await ownServer()
    closers.push(() => server.remove())
    const databaseUrl = server.url('marketplace')
    signal.throwIfAborted()
    await createDatabase(server.url())
    await applyMigrations(databaseUrl)
    done(`PostgreSQL 18 of the demo's own, the tables of prisma/schema.prisma in it, at 127.0.0.1:${server.port}`)
    signal.throwIfAborted()

    const emulatorProcess = startCommand(['emulator', '--port', '0', '--json'], { cwd })
    closers.push(() => end(emulatorProcess))
    await emulatorProcess.waitForOutput('\n')
    const { url, apiKey } = JSON.parse(emulatorProcess.stdout()) as { url: string; apiKey: string }
    done(`SafetyKit's emulator, a process of its own, at ${url}`)
    signal.throwIfAborted()

    const env = { DATABASE_URL: databaseUrl, SAFETYKIT_BASE_URL: url, SAFETYKIT_API_KEY: apiKey }
    code('$ safetykit-sync migrate')
    const migrated = await runCommand(['migrate'], { cwd, env })
    if (migrated.code !== 0) throw new Error(`safetykit-sync migrate ended with ${migrated.code}\n${migrated.stderr}`)
    for (const text of migrated.stdout.trimEnd().split('\n')) line(`  ${text}`)
    signal.throwIfAborted()

    code('$ safetykit-sync run')
    const sidecar = startCommand(['run'], { cwd, env })
    closers.push(() => end(sidecar))
    await sidecar.waitFor((logged) => logged.msg === 'Replication has started')
    done(`The sidecar reads the WAL, as process ${sidecar.pid}`)
    signal.throwIfAborted()

    const db = new pg.Client({ connectionString: databaseUrl })
    // The server goes away before this process does.
    db.on('error', () => {})
    await db.connect()
    closers.push(() => db.end())
    return {
      databaseUrl,
      db,
      emulator: connectEmulator(url),
      sidecar,
      async stopSidecar() {
        sidecar.kill('SIGTERM')
        const { code } = await sidecar.exited
        if (code !== 0) throw new Error(`The sidecar ended with ${code}\n${sidecar.stdout()}`)
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function createDatabase(adminUrl: string): Promise<void> {
  const admin = new pg.Client({ connectionString: adminUrl })
  await admin.connect()
  try {
    await admin.query('CREATE DATABASE marketplace')
  } finally {
    await admin.end()
  }
}

async function end(command: RunningCommand): Promise<void> {
  command.kill('SIGTERM')
  const timer = setTimeout(() => command.kill('SIGKILL'), 10_000)
  await command.exited
  clearTimeout(timer)
}
