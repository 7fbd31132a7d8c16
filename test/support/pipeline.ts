import type { SyncOptions } from '../../src/config/input.js'
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.js'
import type { LogFields, Logger } from '../../src/logger.js'
import { migrate, type Pipeline, startPipeline } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { createDatabase, type TestDatabase } from './postgres.js'

export interface LogLine {
  readonly level: keyof Logger
  readonly message: string
  readonly fields: LogFields
}

/** A database with mapped tables, the emulator, and the pipeline in this process. */
export interface Rig {
  readonly db: TestDatabase
  readonly emulator: Emulator
  readonly log: readonly LogLine[]
  /** The running pipeline; fails where none runs. */
  readonly pipeline: Pipeline
  start(overrides?: Partial<RigOptions>): Promise<Pipeline>
  stop(): Promise<void>
  migrate(overrides?: Partial<RigOptions>): Promise<readonly string[]>
  close(): Promise<void>
}

export interface RigOptions {
  /** Makes the tables. */
  readonly sql: string
  // biome-ignore lint/suspicious/noExplicitAny: the rig hands any mapping on; each test's own is checked by defineSync
  readonly tables: any
  readonly settings?: Partial<SyncOptions>
  readonly emulator?: EmulatorOptions
  readonly apiKey?: string
  readonly databaseUrl?: string
}

/** Migrates, but starts nothing. The slot is named after the database, since slots are the server's. */
export async function createRig(options: RigOptions): Promise<Rig> {
  const db = await createDatabase({ sql: options.sql })
  const emulator = await startEmulator(options.emulator ?? {})
  const log: LogLine[] = []
  let running: Pipeline | null = null

  const given = (overrides: Partial<RigOptions>) => {
    const merged = { ...options, ...overrides }
    const { resolved } = defineSync({
      capture: 'replication',
      slot: { name: db.name },
      ...merged.settings,
      tables: merged.tables,
    } as never)
    return {
      resolved,
      databaseUrl: merged.databaseUrl ?? db.url,
      logger: logger(log),
      apiKey: merged.apiKey ?? emulator.apiKey,
    }
  }
  const rig: Rig = {
    db,
    emulator,
    log,
    get pipeline() {
      if (running === null) throw new Error('no pipeline runs')
      return running
    },
    async start(overrides = {}) {
      running = await startPipeline({ ...given(overrides), baseUrl: emulator.url })
      return running
    },
    async stop() {
      await running?.stop()
      running = null
    },
    async migrate(overrides = {}) {
      return (await migrate(given(overrides))).done
    },
    async close() {
      await rig.stop()
      await emulator.close()
      await db.drop()
    },
  }
  await rig.migrate()
  return rig
}

function logger(log: LogLine[]): Logger {
  const at =
    (level: keyof Logger) =>
    (message: string, fields: LogFields = {}): void => {
      log.push({ level, message, fields })
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
