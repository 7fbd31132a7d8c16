import { onTestFinished } from 'vitest'
import type { PrismaClient } from '../../prisma/generated/client/client.js'
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.js'
import type { ExtensionOptions, LogFields, Logger, Sync } from '../../src/index.js'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { migrate } from '../../src/pipeline.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { applyMigrations, connectPrisma } from '../support/prisma.js'

export interface ExtensionRig {
  readonly db: TestDatabase
  readonly emulator: Emulator
  readonly prisma: PrismaClient
  readonly log: readonly { readonly level: keyof Logger; readonly message: string; readonly fields: LogFields }[]
  /** For `sync.extension()`. */
  readonly options: ExtensionOptions
  /** Makes what a configuration needs, as `safetykit-sync migrate` does. */
  migrate(sync: Sync): Promise<void>
}

/** The marketplace with its side tables, a client that nothing is extended of yet, and the emulator. */
export async function extensionRig(
  given: { readonly emulator?: EmulatorOptions; readonly sideTables?: false } = {},
): Promise<ExtensionRig> {
  const db = await createDatabase()
  const emulator = await startEmulator(given.emulator ?? {})
  const prisma = connectPrisma(db.url)
  const log: { level: keyof Logger; message: string; fields: LogFields }[] = []
  const at =
    (level: keyof Logger) =>
    (message: string, fields: LogFields = {}): void => {
      log.push({ level, message, fields })
    }
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  onTestFinished(async () => {
    await prisma.$disconnect()
    await emulator.close()
    await db.drop()
  })
  await applyMigrations(db.url)
  if (given.sideTables !== false) await migrateLedger(await db.client(), 'safetykit')
  return {
    db,
    emulator,
    prisma,
    log,
    async migrate({ resolved }) {
      await migrate({ resolved, databaseUrl: db.url })
    },
    options: { databaseUrl: db.url, apiKey: emulator.apiKey, baseUrl: emulator.url, logger },
  }
}
