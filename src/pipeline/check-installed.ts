import { checkTriggers } from '../capture/triggers/check.js'
import type { ResolvedSync } from '../config/resolved.js'
import { SyncError } from '../errors.js'
import { checkLedger } from '../ledger/migrate.js'
import type { Logger } from '../logger.js'
import { openDatabases } from './databases.js'
import { withClient } from './migrate.js'
import { Sources } from './sources.js'
import { wantedCapture } from './triggers.js'

export interface InstalledOptions {
  readonly resolved: ResolvedSync
  readonly databaseUrl: string
  readonly logger: Logger
  /** Gives up on a database that does not answer. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Looks whether what `safetykit-sync migrate` makes is there and fits the mapping.
 * @returns what does not fit and lets the rest work: tables whose changes are not all captured.
 * @throws {SyncError} where nothing can work: `SCHEMA_OUTDATED`, `SCHEMA_NEWER`, or a mapping that does not fit its table.
 */
export async function checkInstalled({
  resolved,
  databaseUrl,
  logger,
  signal,
}: InstalledOptions): Promise<SyncError[]> {
  const databases = openDatabases({ databaseUrl, resolved, logger, max: 1, signal })
  try {
    const { source: db, defaultSchema } = databases
    await checkLedger(databases.ledger, resolved.schema)
    if (resolved.capture !== 'trigger') return []
    const { all } = await Sources.open({ db, resolved, defaultSchema, logger })
    const tables = all.map(({ bound }) => bound)
    const findings = await withClient(db, (client) => checkTriggers(client, wantedCapture(resolved.schema, tables)))
    if (findings.length === 0) return []
    const said = findings.map(({ source, message }) => `${source}: ${message}`).join('; ')
    const hints = [...new Set(findings.map(({ hint }) => hint))].join('\n')
    return [new SyncError('TRIGGERS_UNFIT', `Not every change is captured: ${said}`, { hint: hints })]
  } finally {
    await databases.close()
  }
}
