import pg from 'pg'
import { explainingDatabase } from '../database-errors.js'
import { sessionSettingsSql } from '../mapping/session.js'

const connectTimeoutMs = 10_000

interface Connecting {
  readonly url: string
  /** What the URL is called where it was given. Default: `DATABASE_URL`. */
  readonly setting?: string | undefined
  /** The command's name, which `pg_stat_activity` shows. */
  readonly command: string
  /** No statement of it takes as long on a sound database. */
  readonly statementTimeoutMs: number
}

/** Connects for as long as `use` runs. */
export function withClient<T>(connecting: Connecting, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const { url, setting, command, statementTimeoutMs } = connecting
  const work = async (): Promise<T> => {
    const client = new pg.Client({
      connectionString: url,
      application_name: `safetykit-sync ${command}`,
      connectionTimeoutMillis: connectTimeoutMs,
    })
    let lost: Error | undefined
    // Without a listener, a connection that breaks between two queries would end the process.
    client.on('error', (error) => {
      lost = error
    })
    try {
      await client.connect()
      // Not with the start of the connection: poolers refuse parameters that they do not know.
      await client.query(`${sessionSettingsSql}; SET statement_timeout = ${statementTimeoutMs}`)
      return await use(client)
    } catch (error) {
      throw lost ?? error
    } finally {
      await client.end().catch(() => {})
    }
  }
  return explainingDatabase(url, work, setting)
}
