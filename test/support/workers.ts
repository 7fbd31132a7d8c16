import { onTestFinished } from 'vitest'
import type { SyncOptions } from '../../src/config/input.js'
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.js'
import { migrate, type Pipeline, startPipeline } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { type LogLine, memoryLogger } from './memory-logger.js'
import { createDatabase, type TestDatabase } from './postgres.js'
import { soon } from './soon.js'

export interface WorkersOptions {
  readonly sql: string
  readonly tables: object
  readonly settings?: SyncOptions
  readonly emulator?: EmulatorOptions
}

/** A database whose mapped tables have triggers, the emulator, and as many workers in this process as a test starts. */
export interface Workers {
  readonly db: TestDatabase
  readonly emulator: Emulator
  readonly log: readonly LogLine[]
  start(overrides?: { readonly databaseUrl?: string; readonly settings?: SyncOptions }): Promise<Pipeline>
  /** Resolves when no key waits. */
  settled(): Promise<void>
  /** The latest state of every object of a namespace that the emulator has, by id. */
  sent(namespace: string): Readonly<Record<string, unknown>>
  side<Row extends object>(table: string, where?: string): Promise<(Row & Record<string, unknown>)[]>
}

/** Closed when the test ends, in order: the workers, the emulator, the database. */
export async function workersForTest(options: WorkersOptions): Promise<Workers> {
  const db = await createDatabase({ sql: options.sql })
  const emulator = await startEmulator(options.emulator ?? {})
  const log: LogLine[] = []
  const running = new Set<Pipeline>()
  const given = (overrides: { readonly databaseUrl?: string; readonly settings?: SyncOptions } = {}) => ({
    resolved: defineSync({
      capture: 'trigger',
      // These are about the delivery; what is asked about evaluations is in test/results/.
      results: 'off',
      ...options.settings,
      ...overrides.settings,
      tables: options.tables,
    } as never).resolved,
    databaseUrl: overrides.databaseUrl ?? db.url,
    logger: memoryLogger(log),
    apiKey: emulator.apiKey,
    baseUrl: emulator.url,
  })
  onTestFinished(async () => {
    await Promise.all([...running].map((pipeline) => pipeline.stop()))
    await emulator.close()
    await db.drop()
  })
  await migrate(given())
  return {
    db,
    emulator,
    log,
    async start(overrides) {
      const pipeline = await startPipeline(given(overrides))
      running.add(pipeline)
      return pipeline
    },
    settled: () => soon(async () => void expectNone((await db.query('SELECT FROM safetykit.dirty')).rowCount)),
    sent: (namespace) => Object.fromEntries([...emulator.objects(namespace)].map(([id, { data }]) => [id, data])),
    async side<Row extends object>(table: string, where = 'true') {
      return (await db.query<Row & Record<string, unknown>>(`SELECT * FROM safetykit.${table} WHERE ${where}`)).rows
    },
  }
}

function expectNone(keys: number | null): void {
  if (keys !== 0) throw new Error(`${keys} keys wait`)
}
