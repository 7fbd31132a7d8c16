import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import type { SyncOptions } from '../../src/config/input.js'
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.js'
import type { Logger } from '../../src/logger.js'
import { migrate, type Pipeline, startPipeline } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { type LogLine, memoryLogger } from './memory-logger.js'
import { createDatabase, type TestDatabase } from './postgres.js'

/** A database with mapped tables, the emulator, and the pipeline in this process. */
export interface Rig {
  readonly db: TestDatabase
  readonly emulator: Emulator
  readonly log: readonly LogLine[]
  /** The running pipeline; fails where none runs. */
  readonly pipeline: Pipeline
  start(overrides?: Partial<RigOptions>): Promise<Pipeline>
  stop(): Promise<void>
  /** Gives up on what is in flight, as a process that dies does: what is not recorded is forgotten. */
  abandon(): Promise<void>
  /** Resolves when the slot has passed all that is committed now: what follows from it is settled. */
  caughtUp(): Promise<void>
  /** The latest state of every object of a namespace that the emulator has, by id. */
  sent(namespace: string): Readonly<Record<string, unknown>>
  /** How many versions of an object were sent. */
  versions(namespace: string, id: string): number
  /** The rows of a side table. */
  side<Row extends object = Record<string, unknown>>(table: string, where?: string): Promise<Row[]>
  /** The lines of the log of these levels. */
  logged(...levels: (keyof Logger)[]): readonly LogLine[]
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
  readonly baseUrl?: string
}

/** A rig that ends with the test; started unless told otherwise. */
export async function rigForTest(options: RigOptions & { readonly start?: boolean }): Promise<Rig> {
  const rig = await createRig(options)
  onTestFinished(() => rig.close())
  if (options.start !== false) await rig.start()
  return rig
}

/** Migrates, but starts nothing. The slot is named after the database, since slots are the server's. */
export async function createRig(options: RigOptions): Promise<Rig> {
  const db = await createDatabase({ sql: options.sql })
  const emulator = await startEmulator(options.emulator ?? {})
  const log: LogLine[] = []
  let running: Pipeline | null = null
  let failure: unknown = null

  const given = (overrides: Partial<RigOptions>) => {
    const merged = { ...options, ...overrides }
    const { resolved } = defineSync({
      capture: 'replication',
      slot: { name: db.name },
      // These are about the delivery; what is asked about evaluations is in test/results/.
      results: 'off',
      ...merged.settings,
      tables: merged.tables,
    } as never)
    return {
      resolved,
      databaseUrl: merged.databaseUrl ?? db.url,
      logger: memoryLogger(log),
      apiKey: merged.apiKey ?? emulator.apiKey,
      baseUrl: merged.baseUrl ?? emulator.url,
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
      const started = await startPipeline(given(overrides))
      failure = null
      started.done.catch((error: unknown) => {
        failure = error
      })
      running = started
      return started
    },
    async stop() {
      await running?.stop()
      running = null
    },
    async abandon() {
      running?.abandon()
      await rig.stop()
    },
    async caughtUp() {
      const { rows } = await db.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn')
      const deadline = Date.now() + 60_000
      for (;;) {
        if (failure !== null) throw failure
        const slot = await db.query<{ passed: boolean; at: string }>(
          `SELECT confirmed_flush_lsn >= $2::pg_lsn AS passed, confirmed_flush_lsn::text AS at
           FROM pg_replication_slots WHERE slot_name = $1`,
          [db.name, rows[0]?.lsn],
        )
        if (slot.rows[0]?.passed === true) return
        if (Date.now() > deadline) {
          const told = log.filter(({ level }) => level === 'warn' || level === 'error').slice(-5)
          throw new Error(`the slot is at ${slot.rows[0]?.at}, not at ${rows[0]?.lsn}: ${JSON.stringify(told)}`)
        }
        await sleep(10)
      }
    },
    sent(namespace) {
      return Object.fromEntries([...emulator.objects(namespace)].map(([id, { data }]) => [id, data]))
    },
    versions: (namespace, id) => emulator.history(namespace, id).length,
    async side<Row extends object>(table: string, where = 'true') {
      return (await db.query<Row & Record<string, unknown>>(`SELECT * FROM safetykit.${table} WHERE ${where}`)).rows
    },
    logged: (...levels) => log.filter(({ level }) => levels.includes(level)),
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
