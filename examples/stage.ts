import pg from 'pg'
import { connectEmulator, type RemoteEmulator } from 'prisma-extension-safetykit/emulator'
import { applyMigrations } from '../test/support/prisma.js'
import { ownServer } from '../test/support/server.js'
import { type Exit, type RunningCommand, runCommand, startCommand, startScript } from '../test/support/sidecar.js'
import { code, done, line } from './print.js'

export interface StageOptions {
  /** The application's directory, where its `safetykit.config.ts` is. */
  readonly home: string
  readonly signal: AbortSignal
}

/** What surrounds an application, on this machine: a database that is ready for it, and an API. */
export interface Stage {
  readonly databaseUrl: string
  readonly emulator: RemoteEmulator
  /** Starts `safetykit-sync` in the application's directory. */
  command(args: readonly string[], options?: ProcessOptions): RunningCommand
  /** Starts a file of the application's directory. */
  script(file: string, options?: ProcessOptions): RunningCommand
  /** To be called at the end, before what was there earlier is closed. */
  closing(closer: () => Promise<unknown>): void
  /** Ends every process, in the opposite order of their start, and deletes the database. */
  close(): Promise<void>
}

export interface ProcessOptions {
  /** Added to the database and the API. */
  readonly env?: Readonly<Record<string, string>>
  readonly onLine?: (line: string) => void
}

/** Starts all of it. On an error, or once `signal` is aborted, nothing is left. */
export async function openStage({ home, signal }: StageOptions): Promise<Stage> {
  const closers: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer()
  }
  const ending = (command: RunningCommand): RunningCommand => {
    closers.push(() => end(command))
    return command
  }
  try {
    const server = await ownServer()
    closers.push(() => server.remove())
    const databaseUrl = server.url('marketplace')
    signal.throwIfAborted()
    await createDatabase(server.url())
    await applyMigrations(databaseUrl)
    done(`PostgreSQL 18 of its own, the tables of prisma/schema.prisma in it, at 127.0.0.1:${server.port}`)
    signal.throwIfAborted()

    const emulator = ending(startCommand(['emulator', '--port', '0', '--json'], { cwd: home, detached: true }))
    await emulator.waitForOutput('\n')
    const { url, apiKey } = JSON.parse(emulator.stdout()) as { url: string; apiKey: string }
    done(`SafetyKit's emulator, a process of its own, at ${url}`)
    signal.throwIfAborted()

    const env = { DATABASE_URL: databaseUrl, SAFETYKIT_BASE_URL: url, SAFETYKIT_API_KEY: apiKey }
    code('$ safetykit-sync migrate')
    const migrated = await runCommand(['migrate'], { cwd: home, env })
    if (migrated.code !== 0) throw new Error(`safetykit-sync migrate ended with ${migrated.code}\n${migrated.stderr}`)
    for (const text of migrated.stdout.trimEnd().split('\n')) line(`  ${text}`)
    signal.throwIfAborted()

    // Ctrl-C is for the one that has the terminal, which then ends the others in order.
    const process = (options: ProcessOptions = {}) => ({
      ...options,
      cwd: home,
      env: { ...env, ...options.env },
      detached: true,
    })
    return {
      databaseUrl,
      emulator: connectEmulator(url),
      command: (args, options) => ending(startCommand(args, process(options))),
      script: (file, options) => ending(startScript(file, process(options))),
      closing: (closer) => void closers.push(closer),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Asks a process to end, and waits until it has. */
export async function end(command: RunningCommand): Promise<Exit> {
  command.kill('SIGTERM')
  const timer = setTimeout(() => command.kill('SIGKILL'), 20_000)
  const exit = await command.exited
  clearTimeout(timer)
  return exit
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
