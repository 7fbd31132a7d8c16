import pg from 'pg'
import { databaseAddress, explainDatabaseError } from '../../database-errors.js'
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
  static async open(url: string, timeoutMs: number, setting?: string): Promise<DatabaseLine> {
    const line = new DatabaseLine(clientFor(url, timeoutMs, setting), databaseAddress(url))
    const { client } = line
    try {
      await client.connect()
      // Not with the start of the connection: poolers refuse parameters that they do not know.
      await client.query(`SET statement_timeout = ${Math.max(1, timeoutMs - statementMarginMs)}`)
      return line
    } catch (error) {
      void client.end().catch(() => {})
      throw explainDatabaseError(error, url, setting)
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

/** @throws {SyncError} where the URL names a certificate that cannot be read. */
function clientFor(url: string, timeoutMs: number, setting: string | undefined): pg.Client {
  try {
    return new pg.Client({
      connectionString: url,
      application_name: 'safetykit-sync doctor',
      connectionTimeoutMillis: timeoutMs,
    })
  } catch (error) {
    throw explainDatabaseError(error, url, setting)
  }
}
