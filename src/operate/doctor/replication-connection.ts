import pg from 'pg'
import { classifyStreamError, codeOf } from '../../capture/replication/stream-errors.js'
import { databaseAddress } from '../../database-errors.js'
import { failuresOf } from './failures.js'
import { type Check, failure, ok, type Step, type Verdict } from './finding.js'
import type { ServerGiven } from './server.js'

export interface ReplicationConnectionGiven extends ServerGiven {
  readonly databaseUrl: string
  readonly timeoutMs: number
}

const direct: Step = {
  do: 'Let DATABASE_URL name the server itself: poolers and proxies do not pass replication on.',
}

export const replicationConnectionCheck: Check<ReplicationConnectionGiven> = {
  check: 'replication-connection',
  why: 'The WAL is read over a connection of its own kind, which poolers and pg_hba.conf may refuse.',
  look: async (given) => {
    const { databaseUrl, timeoutMs } = given
    // `pg` takes a replication connection, which its types leave out.
    const config = { connectionString: databaseUrl, replication: 'database', connectionTimeoutMillis: timeoutMs }
    const client = new pg.Client(config as pg.ClientConfig)
    client.on('error', () => {})
    try {
      await client.connect()
      return await identify(client, given)
    } catch (error) {
      return refused(error, databaseUrl)
    } finally {
      await client.end().catch(() => {})
    }
  },
}

async function identify(client: pg.Client, { client: plain }: ServerGiven): Promise<Verdict> {
  const { rows } = await client.query<{ systemid: string; dbname: string }>('IDENTIFY_SYSTEM')
  const { rows: known } = await plain.query<{ system: string; database: string }>(
    `SELECT system_identifier::text AS system, pg_catalog.current_database() AS database
       FROM pg_catalog.pg_control_system()`,
  )
  const [there, here] = [rows[0], known[0]]
  if (there?.systemid === here?.system && there?.dbname === here?.database) return ok('the server takes it')
  return failure('it comes out at another server or database than the plain one', [direct])
}

function refused(error: unknown, databaseUrl: string): readonly Verdict[] {
  const code = codeOf(error)
  // What a server says to a protocol that it does not speak; a server of PostgreSQL speaks this one.
  if (code === null || code.startsWith('08') || code === '0A000') {
    const said = code === null ? 'ended without a word' : `was refused (${code})`
    return [failure(`a replication connection to ${databaseAddress(databaseUrl)} ${said}`, [direct])]
  }
  if (code === '28000') {
    const rule =
      'Add a rule to pg_hba.conf for this role and address, with its database (a rule for "replication" is not it); then:'
    return [
      failure(`a replication connection to ${databaseAddress(databaseUrl)} was refused (${code})`, [
        { do: rule },
        { sql: 'SELECT pg_reload_conf();' },
      ]),
    ]
  }
  return failuresOf(classifyStreamError(error))
}
