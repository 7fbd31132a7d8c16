import pg from 'pg'
import type { ResolvedSync } from '../config/resolved.js'
import { openLedgerPool } from '../ledger/postgres.js'
import type { Logger } from '../logger.js'
import { sessionSettingsSql } from '../mapping/session.js'

/** The source, set up so that it writes values as every door reads them, and the ledger's database, often the same one. */
export interface Databases {
  readonly source: pg.Pool
  readonly ledger: pg.Pool
  /** The schema of tables that are named without one: `?schema=` of the URL, as Prisma has it, else `public`. */
  readonly defaultSchema: string
  close(): Promise<void>
}

export function openDatabases(options: {
  readonly databaseUrl: string
  readonly resolved: Pick<ResolvedSync, 'ledgerUrl'>
  readonly logger: Logger
  /** Connections to each. Default: 4. */
  readonly max?: number
}): Databases {
  const { databaseUrl, resolved, logger, max = 4 } = options
  const onError = (error: Error): void => logger.warn('An idle database connection broke; it is replaced', { error })
  const source = new pg.Pool({
    connectionString: databaseUrl,
    max,
    connectionTimeoutMillis: 10_000,
    allowExitOnIdle: true,
    application_name: 'safetykit-sync',
    onConnect: async (client) => {
      // A policy that hides rows makes reads fail, rather than rows look deleted.
      await client.query(`${sessionSettingsSql}; SET row_security = off`)
    },
  })
  source.on('error', onError)
  const ledger = openLedgerPool({ connectionString: resolved.ledgerUrl ?? databaseUrl, max, onError })
  return {
    source,
    ledger,
    defaultSchema: schemaOf(databaseUrl),
    async close() {
      await Promise.all([source.end(), ledger.end()])
    },
  }
}

function schemaOf(databaseUrl: string): string {
  const query = databaseUrl.indexOf('?')
  return (query < 0 ? null : new URLSearchParams(databaseUrl.slice(query)).get('schema')) ?? 'public'
}
