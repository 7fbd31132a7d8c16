import type { ResolvedSync } from '../../config/resolved.js'
import { checkLedger } from '../../ledger/migrate.js'
import { type Logger, silentLogger } from '../../logger.js'
import { checkReadable } from '../check-readable.js'
import { openDatabases } from '../databases.js'
import { selectSources } from '../selected-sources.js'
import { Sources } from '../sources.js'
import type { VerifiedMapping, VerifiedTable, VerifyReport, VerifyRequest } from './report.js'
import { TableVerification } from './table-verification.js'

export interface VerifyOptions extends VerifyRequest {
  readonly resolved: ResolvedSync
  readonly databaseUrl: string
  /** Default: silent. */
  readonly logger?: Logger
}

/**
 * Compares every row of the mapped tables with what SafetyKit has accepted, by the ledger. Writes nothing, sends nothing, and
 * may run beside everything else.
 *
 * Rows change meanwhile. What seems to be behind (of each mapping, the first 10,000 objects) is looked at again after the
 * walk, as long as that finds fewer; what has come in step by then counts as in step.
 * @throws {SyncError} `ARGUMENT_INVALID` for an unknown name, or where Postgres refuses `where`; and where the database or
 * the mapping does not fit.
 */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  const { resolved, databaseUrl, logger = silentLogger, signal } = options
  const databases = openDatabases({ databaseUrl, resolved, logger, max: 3, signal })
  try {
    await checkLedger(databases.ledger, resolved.schema)
    const { source: db, defaultSchema } = databases
    const sources = await Sources.open({ db, resolved, defaultSchema, logger })
    await checkReadable(db, sources)
    const tables: VerifiedTable[] = []
    for (const { name } of selectSources(sources, options)) {
      const { schema } = resolved
      tables.push(await new TableVerification({ databases, schema, sources, source: name, request: options }).run())
    }
    return { tables, inStep: tables.every(({ source, mappings }) => isInStep(sources, source, mappings)) }
  } catch (error) {
    // Cut connections fail in ways that say less.
    signal?.throwIfAborted()
    throw error
  } finally {
    await databases.close()
  }
}

function isInStep(sources: Sources, source: string, mappings: readonly VerifiedMapping[]): boolean {
  const targets = sources.get(source)?.targets ?? []
  return mappings.every(({ missing, different, parked, dead, gone }, at) => {
    const unburied = targets[at]?.mapping.onDelete === 'tombstone' ? (gone ?? 0) : 0
    return missing + different + parked + dead + unburied === 0
  })
}
