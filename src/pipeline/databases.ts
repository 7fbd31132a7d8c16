import pg from 'pg'
import type { ResolvedSync } from '../config/resolved.js'
import { openLedgerPool } from '../ledger/postgres.js'
import type { Logger } from '../logger.js'
import { sessionSettingsSql } from '../mapping/session.js'
import { placedClient } from './placed-client.js'

/** The source, set up so that it writes values as every door reads them, and the ledger's database, often the same one. */
export interface Databases {
  readonly source: pg.Pool
  readonly ledger: pg.Pool
  /** The schema of tables that are named without one: `?schema=` of the URL, as Prisma has it, else `public`. */
  readonly defaultSchema: string
  /** Waits for the queries under way. */
  close(): Promise<void>
  /**
   * Breaks the connections, so that nothing waits any more for a database that does not answer, or for a lock; nothing can
   * be asked afterwards, and {@link close} resolves.
   */
  cut(): void
}

export function openDatabases(options: {
  readonly databaseUrl: string
  readonly resolved: Pick<ResolvedSync, 'ledgerUrl'>
  readonly logger: Logger
  /** Connections to each. Default: 4. */
  readonly max?: number
  /** How long a statement of the ledger may take, unless it has a time of its own. Default: for ever. */
  readonly ledgerTimeoutMs?: number | undefined
  /** When it is aborted, the connections are {@link Databases.cut}. */
  readonly signal?: AbortSignal | undefined
}): Databases {
  const { databaseUrl, resolved, logger, max = 4, ledgerTimeoutMs, signal } = options
  const { ledgerUrl } = resolved
  const onError = (error: Error): void => {
    // The pool hangs the client on it, and with that the connection's settings.
    Reflect.deleteProperty(error, 'client')
    logger.warn('An idle database connection broke; it is replaced', { error })
  }
  const source = new pg.Pool({
    connectionString: databaseUrl,
    max,
    connectionTimeoutMillis: 10_000,
    allowExitOnIdle: true,
    keepAlive: true,
    application_name: 'safetykit-sync',
    onConnect: async (client) => {
      // A policy that hides rows makes reads fail, rather than rows look deleted. A time-out that a role has for the
      // application's statements would end the walk over a large table.
      await client.query(`${sessionSettingsSql}; SET row_security = off; SET statement_timeout = 0`)
    },
  })
  source.on('error', onError)
  const ledger = openLedgerPool({
    connectionString: ledgerUrl ?? databaseUrl,
    max,
    statementTimeoutMs: ledgerTimeoutMs,
    client: ledgerUrl === null ? undefined : placedClient({ url: ledgerUrl, setting: 'ledgerUrl' }),
    onError,
  })
  const clients = [connected(source), connected(ledger)]
  const isCut = new AbortController()
  const cutOff = new Promise<void>((resolve) => isCut.signal.addEventListener('abort', () => resolve()))
  let closing: Promise<unknown> | null = null
  const databases: Databases = {
    source,
    ledger,
    defaultSchema: schemaOf(databaseUrl),
    async close() {
      closing ??= Promise.all([source.end(), ledger.end()])
      await Promise.race([closing, cutOff])
    },
    cut() {
      isCut.abort()
      void databases.close()
      // A client that waits for an answer gives it up when it is ended.
      for (const ofPool of clients) for (const client of ofPool) void client.end()
    },
  }
  if (signal?.aborted === true) databases.cut()
  else signal?.addEventListener('abort', () => databases.cut(), { once: true })
  return databases
}

/** The clients of a pool, as they come and go. */
function connected(pool: pg.Pool): ReadonlySet<pg.Client> {
  const clients = new Set<pg.Client>()
  // The types hide that a pool's client can be ended, as a pool does itself.
  pool.on('connect', (client) => {
    clients.add(client as unknown as pg.Client)
    // While one is taken out of its pool nobody listens, and the process would die of a connection that breaks. Whoever has
    // it is told by the query.
    client.on('error', () => {})
  })
  pool.on('remove', (client) => void clients.delete(client as unknown as pg.Client))
  return clients
}

/** `?schema=` of the URL, as Prisma has it, else `public`. */
export function schemaOf(databaseUrl: string): string {
  const query = databaseUrl.indexOf('?')
  return (query < 0 ? null : new URLSearchParams(databaseUrl.slice(query)).get('schema')) ?? 'public'
}
