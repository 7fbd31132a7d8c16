import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect } from 'vitest'
import type { SyncOptions } from '../../src/config/input.js'
import type { ResolvedSync } from '../../src/config/resolved.js'
import { type Emulator, type EmulatorOptions, type FaultAction, startEmulator } from '../../src/emulator/index.js'
import type { BackfillReport, BackfillRequest } from '../../src/pipeline/backfill/report.js'
import { migrate, type Pipeline, startPipeline } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { differences, settled } from '../support/in-step.js'
import { type LogLine, memoryLogger } from '../support/memory-logger.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'

export type RigSettings = SyncOptions & { readonly capture?: ResolvedSync['capture'] }

export interface BackfillRigOptions {
  readonly sql: string
  readonly tables: object
  readonly settings?: RigSettings
  readonly emulator?: EmulatorOptions
  /** Of the test that it ends with: those that run beside others have one each. */
  readonly onTestFinished: (end: () => Promise<void>) => void
}

export interface Overrides {
  readonly tables?: object
  readonly settings?: RigSettings
  readonly databaseUrl?: string
}

/** A table that was there before, the emulator, and as many pipelines in this process as a test starts. */
export interface BackfillRig {
  readonly db: TestDatabase
  readonly emulator: Emulator
  readonly log: readonly LogLine[]
  /** Where the files of imports stand. */
  readonly spool: string
  start(overrides?: Overrides): Promise<Pipeline>
  stop(pipeline: Pipeline): Promise<void>
  /** Starts a pipeline for it and stops that afterwards. */
  backfill(request?: BackfillRequest, overrides?: Overrides): Promise<BackfillReport>
  /** Writes to the tables, and tells the pipelines. */
  write(sql: string, values?: readonly unknown[]): Promise<void>
  /** Until nothing waits and every import has ended. */
  quiet(): Promise<void>
  /** Until nothing waits, and the emulator and the ledger are as the tables. */
  inStep(expected?: Readonly<Record<string, string>>): Promise<void>
  /** Lets a call fail in a way that is tried again; resolves once one has. */
  held(path: 'import' | 'upload', action?: FaultAction): Held
  spooled(): Promise<string[]>
  side<Row extends object>(table: string, where?: string): Promise<(Row & Record<string, unknown>)[]>
}

export interface Held {
  reached(): Promise<void>
  goOn(): void
}

/** Imports of a few rows. */
export const importSettings = { minObjects: 1, maxPartObjects: 10 } as const

export const products = {
  sql: (
    rows: number,
  ) => `CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL, hidden boolean NOT NULL DEFAULT false);
    INSERT INTO products SELECT n, 'Chair ' || n FROM generate_series(1, ${rows}) n`,
  tables: {
    'public.products': { namespace: 'products', fields: { title: true, hidden: true }, onDelete: 'tombstone' },
  },
  expected: {
    products: `SELECT json_build_object('id', id::text, 'title', title, 'hidden', hidden) AS object FROM products`,
  },
} as const

export async function backfillRig(options: BackfillRigOptions): Promise<BackfillRig> {
  const db = await createDatabase({ sql: options.sql })
  const emulator = await startEmulator(options.emulator ?? {})
  const spool = await mkdtemp(path.join(tmpdir(), 'safetykit-backfill-'))
  const log: LogLine[] = []
  const running = new Set<Pipeline>()
  const resolvedOf = (overrides: Overrides) => {
    const capture = overrides.settings?.capture ?? options.settings?.capture ?? 'trigger'
    const { resolved } = defineSync({
      results: 'off',
      slot: { name: db.name },
      ...options.settings,
      ...overrides.settings,
      delivery: { retryBaseMs: 10, retryMaxMs: 50, ...options.settings?.delivery, ...overrides.settings?.delivery },
      import: { ...importSettings, spoolDirectory: spool, ...options.settings?.import, ...overrides.settings?.import },
      // A configuration without a Prisma client cannot say 'client': what wrote the keys makes no difference here.
      capture: capture === 'client' ? 'trigger' : capture,
      tables: overrides.tables ?? options.tables,
    } as never)
    return { ...resolved, capture }
  }
  const given = (overrides: Overrides = {}) => ({
    resolved: resolvedOf(overrides),
    databaseUrl: overrides.databaseUrl ?? db.url,
    logger: memoryLogger(log),
    apiKey: emulator.apiKey,
    baseUrl: emulator.url,
  })
  options.onTestFinished(async () => {
    emulator.faults.clear()
    await Promise.all([...running].map((pipeline) => pipeline.stop()))
    await emulator.close()
    await rm(spool, { recursive: true, force: true })
    await db.drop()
  })
  await migrate(given())
  const rig: BackfillRig = {
    db,
    emulator,
    log,
    spool,
    async start(overrides) {
      const pipeline = await startPipeline(given(overrides))
      running.add(pipeline)
      return pipeline
    },
    async stop(pipeline) {
      await pipeline.stop()
      running.delete(pipeline)
    },
    async backfill(request = {}, overrides) {
      const pipeline = await rig.start(overrides)
      try {
        return await pipeline.backfill(request)
      } finally {
        await rig.stop(pipeline)
      }
    },
    async write(sql, values = []) {
      await db.query(sql, values)
      for (const pipeline of running) pipeline.wake()
    },
    async quiet() {
      await soon(async () => {
        for (const pipeline of running) pipeline.wake()
        expect(
          (await db.query("SELECT FROM safetykit.requests WHERE kind = 'import' AND completed_at IS NULL")).rowCount,
        ).toBe(0)
      })
      await settled(db)
    },
    async inStep(expected = products.expected) {
      await rig.quiet()
      const wrong = (): Promise<string[]> => differences({ db, emulator, expected })
      if ((options.settings?.capture ?? 'trigger') === 'replication') {
        await soon(async () => expect((await wrong()).slice(0, 5)).toEqual([]), 20_000)
      }
      expect((await wrong()).slice(0, 5)).toEqual([])
      expect(emulator.violations).toEqual([])
    },
    held(call, action = { status: 503 }) {
      const fault = emulator.faults.add({ when: { path: call }, do: action })
      return {
        reached: () => soon(() => expect(fault.hits).toBeGreaterThan(0)),
        goOn: () => fault.remove(),
      }
    },
    async spooled() {
      return (await readdir(spool, { recursive: true })).filter((file) => /\.(jsonl|manifest)$/.test(file))
    },
    async side<Row extends object>(table: string, where = 'true') {
      return (await db.query<Row & Record<string, unknown>>(`SELECT * FROM safetykit.${table} WHERE ${where}`)).rows
    },
  }
  return rig
}

/** How many versions of all its objects a namespace was sent. */
export const versionsOf = (emulator: Emulator, namespace: string): number =>
  [...emulator.objects(namespace).values()].reduce((sum, { versions }) => sum + versions, 0)
