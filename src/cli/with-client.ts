import pg from 'pg'
import { databaseAddress, explainingDatabase } from '../database-errors.js'
import { SyncError } from '../errors.js'

const connectTimeoutMs = 10_000

interface Connecting {
  readonly url: string
  /** The command's name, which `pg_stat_activity` shows. */
  readonly command: string
  /** No statement of it takes as long on a sound database. */
  readonly statementTimeoutMs: number
}

/** Connects for as long as `use` runs. */
export function withClient<T>(connecting: Connecting, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const { url, command, statementTimeoutMs } = connecting
  return explainingDatabase(url, async () => {
    const client = new pg.Client({
      connectionString: url,
      application_name: `safetykit-sync ${command}`,
      connectionTimeoutMillis: connectTimeoutMs,
      statement_timeout: statementTimeoutMs,
    })
    let lost: Error | undefined
    // Without a listener, a connection that breaks between two queries would end the process.
    client.on('error', (error) => {
      lost = error
    })
    try {
      await connect(client, url)
      return await use(client)
    } catch (error) {
      throw lost ?? error
    } finally {
      await client.end().catch(() => {})
    }
  })
}

async function connect(client: pg.Client, url: string): Promise<void> {
  try {
    await client.connect()
  } catch (error) {
    // The time-out of `pg` has no code.
    if (error instanceof Error && 'code' in error) throw error
    throw new SyncError('DATABASE_UNREACHABLE', `No connection to Postgres at ${databaseAddress(url)}`, {
      cause: error,
      hint: `Check the host, the port and sslmode in DATABASE_URL; it was tried for ${connectTimeoutMs / 1_000} s at most.`,
    })
  }
}
