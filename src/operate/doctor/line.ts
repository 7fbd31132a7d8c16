import pg from 'pg'
import { databaseAddress, explainDatabaseError } from '../../database-errors.js'
import { SyncError } from '../../errors.js'
import type { Line } from './examination.js'

/** A statement of a server that answers may take so much less than a check may wait for it. */
const statementMarginMs = 1_000

/** A connection to a database for the checks, with how it was found. */
export class DatabaseLine implements Line {
  readonly client: pg.Client
  /** `host:port/database`. */
  readonly address: string
  #gone: string | null = null

  private constructor(client: pg.Client, address: string) {
    this.client = client
    this.address = address
    client.on('error', () => {
      this.#gone ??= `the connection to ${address} was lost`
    })
  }

  /** @throws {SyncError} `DATABASE_UNREACHABLE` within the time, whatever the server does. */
  static async open(url: string, timeoutMs: number): Promise<DatabaseLine> {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'safetykit-sync doctor',
      connectionTimeoutMillis: timeoutMs,
    })
    const line = new DatabaseLine(client, databaseAddress(url))
    try {
      await client.connect()
      // Not with the start of the connection: poolers refuse parameters that they do not know.
      await client.query(`SET statement_timeout = ${Math.max(1, timeoutMs - statementMarginMs)}`)
      return line
    } catch (error) {
      void client.end().catch(() => {})
      throw unreachable(error, url, timeoutMs)
    }
  }

  get gone(): string | null {
    return this.#gone
  }

  giveUp(because: string): void {
    this.#gone ??= `${this.address}: ${because}`
    // Whatever waits for an answer gives it up.
    void this.client.end().catch(() => {})
  }

  async close(): Promise<void> {
    if (this.#gone === null) await this.client.end().catch(() => {})
  }
}

/** What keeps a connection from being made, as a `SyncError`. */
export function unreachable(error: unknown, url: string, timeoutMs: number): unknown {
  const explained = explainDatabaseError(error, url)
  if (explained instanceof SyncError || (error instanceof Error && 'code' in error)) return explained
  // The time-out of `pg` has no code.
  return new SyncError('DATABASE_UNREACHABLE', `No connection to Postgres at ${databaseAddress(url)}`, {
    cause: error,
    hint: `Check the host, the port and sslmode in DATABASE_URL; it was tried for ${timeoutMs / 1_000} s.`,
  })
}
