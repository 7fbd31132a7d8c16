import pg from 'pg'
import { onTestFinished } from 'vitest'
import type { TriggerFinding } from '../../src/capture/triggers/check.js'
import { checkTriggers } from '../../src/capture/triggers/check.js'
import type { SyncOptions } from '../../src/config/input.js'
import type { ResolvedSync } from '../../src/config/resolved.js'
import type { Logger } from '../../src/logger.js'
import { silentLogger } from '../../src/logger.js'
import { Sources } from '../../src/pipeline/sources.js'
import { wantedCapture } from '../../src/pipeline/triggers.js'
import { migrate } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'

type Key = Readonly<Record<string, string | null>> | null

/** What waits in `dirty`, without what changes from run to run. */
export interface Captured {
  readonly source: string
  readonly key: Key
}

export interface CaptureRig {
  readonly db: TestDatabase
  migrate(overrides?: Partial<CaptureOptions>): Promise<readonly string[]>
  check(overrides?: Partial<CaptureOptions>): Promise<readonly TriggerFinding[]>
  /** Everything in `dirty`, in the order of the marks. */
  captured(): Promise<Captured[]>
  /** What was captured by `work` alone. */
  during(work: () => Promise<unknown>): Promise<Captured[]>
}

export interface CaptureOptions {
  readonly sql: string
  // biome-ignore lint/suspicious/noExplicitAny: the rig hands any mapping on; defineSync checks it
  readonly tables: any
  readonly settings?: Partial<SyncOptions> & { readonly capture?: ResolvedSync['capture'] }
  readonly databaseUrl?: string
  readonly logger?: Logger
}

/** A database with mapped tables whose triggers are made, dropped when the test ends. */
export async function captureForTest(options: CaptureOptions & { readonly migrate?: boolean }): Promise<CaptureRig> {
  const db = await createDatabase({ sql: options.sql })
  onTestFinished(() => db.drop())
  const given = (overrides: Partial<CaptureOptions>) => {
    const { tables, settings, databaseUrl = db.url, logger = silentLogger } = { ...options, ...overrides }
    const { capture = 'trigger', ...more } = settings ?? {}
    // defineSync wants a Prisma client for 'client', which migrate does not.
    const known = capture === 'client' ? 'trigger' : capture
    const { resolved } = defineSync({ slot: { name: db.name }, ...more, capture: known, tables } as never)
    return { resolved: { ...resolved, capture }, databaseUrl, logger }
  }
  const captured = async (): Promise<Captured[]> =>
    (await db.query<{ source: string; key: Key }>('SELECT source, key FROM safetykit.dirty ORDER BY seq')).rows
  const rig: CaptureRig = {
    db,
    captured,
    async migrate(overrides = {}) {
      return (await migrate(given(overrides))).done
    },
    async check(overrides = {}) {
      const { resolved, logger, databaseUrl } = given(overrides)
      const client = new pg.Client({ connectionString: databaseUrl })
      await client.connect()
      try {
        const sources = await Sources.open({ db: client, resolved, defaultSchema: 'public', logger })
        const bound = sources.all.map((source) => source.bound)
        return await checkTriggers(client, wantedCapture(resolved.schema, bound))
      } finally {
        await client.end()
      }
    },
    async during(work) {
      const before = await captured()
      await work()
      return (await captured()).slice(before.length)
    },
  }
  if (options.migrate !== false) await rig.migrate()
  return rig
}
