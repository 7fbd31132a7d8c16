import type { ClientBase } from 'pg'
import { clockVerdict } from './clock.js'
import { type Check, failure, ok, type Step, type Verdict, warning } from './finding.js'
import { durationText } from './words.js'

export interface DatabaseGiven {
  readonly client: ClientBase
  /** This machine's clock. */
  readonly now: () => number
  /** A transaction that has run for longer is told. */
  readonly longTransactionMs: number
}

const oldestVersion = 140_000

export const databaseChecks: readonly Check<DatabaseGiven>[] = [
  {
    check: 'postgres-version',
    why: 'What is used of the catalogue and of logical replication is there from PostgreSQL 14 on.',
    look: async ({ client }) => {
      const { rows } = await client.query<{ number: number; text: string }>(
        `SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS text`,
      )
      const { number = 0, text = '' } = rows[0] ?? {}
      const found = `PostgreSQL ${text}`
      return number >= oldestVersion ? ok(found) : failure(found, [{ do: 'Upgrade to PostgreSQL 14 or newer.' }])
    },
  },
  {
    check: 'primary',
    why: 'A server in recovery, or a database that is read-only, takes no writes: no triggers, no side tables, no publication.',
    look: lookAtWrites,
  },
  {
    check: 'database-clock',
    why: 'Ages, retries and the tolerance of webhooks are told by different clocks.',
    look: async ({ client, now }) => {
      const before = now()
      const { rows } = await client.query<{ ms: number }>(
        'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms',
      )
      const after = now()
      return clockVerdict("the database's", (rows[0]?.ms ?? 0) - (before + after) / 2, (after - before) / 2)
    },
  },
  {
    check: 'long-transactions',
    why: 'The server keeps all WAL since the oldest transaction for a slot, a new slot waits for it, and nothing is vacuumed.',
    look: lookAtTransactions,
  },
]

/** Who has made a database read-only is told by where the setting comes from. */
async function lookAtWrites({ client }: DatabaseGiven): Promise<Verdict> {
  const { rows } = await client.query<{
    standby: boolean
    readOnly: boolean
    source: string
    database: string
    role: string
  }>(
    `SELECT pg_catalog.pg_is_in_recovery() AS standby, current_setting('transaction_read_only')::bool AS "readOnly",
            (SELECT source FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only') AS source,
            pg_catalog.quote_ident(pg_catalog.current_database()) AS database, pg_catalog.quote_ident(session_user) AS role`,
  )
  const { standby = false, readOnly = false, source = '', database = '', role = '' } = rows[0] ?? {}
  if (standby) {
    return failure('the server is a standby, in recovery', [{ do: 'Let DATABASE_URL name the primary server.' }])
  }
  if (!readOnly) return ok('it is the primary server, and takes writes')
  const off = 'default_transaction_read_only = off;'
  const fix: Readonly<Record<string, Step>> = {
    database: { sql: `ALTER DATABASE ${database} SET ${off}` },
    user: { sql: `ALTER ROLE ${role} SET ${off}` },
    'database user': { sql: `ALTER ROLE ${role} IN DATABASE ${database} SET ${off}` },
    client: { do: 'Take default_transaction_read_only out of the options in DATABASE_URL.' },
  }
  return failure('every transaction is read-only (default_transaction_read_only)', [
    { do: 'Find out why: providers set it while the disk is full. Then:' },
    fix[source] ?? { do: "Set default_transaction_read_only to off in the server's configuration." },
  ])
}

async function lookAtTransactions({ client, longTransactionMs }: DatabaseGiven): Promise<Verdict | Verdict[]> {
  const { rows } = await client.query<{ pid: number; application: string; state: string; seconds: number }>(
    `SELECT pid, application_name AS application, state,
            extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
       FROM pg_catalog.pg_stat_activity
      WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()
        AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)
        AND xact_start < clock_timestamp() - $1 * interval '1 ms'
      ORDER BY xact_start LIMIT 5`,
    [longTransactionMs],
  )
  const { rows: prepared } = await client.query<{ gid: string; seconds: number }>(
    `SELECT pg_catalog.quote_literal(gid) AS gid, extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds
       FROM pg_catalog.pg_prepared_xacts
      WHERE prepared < clock_timestamp() - $1 * interval '1 ms' ORDER BY prepared LIMIT 5`,
    [longTransactionMs],
  )
  if (rows.length + prepared.length === 0) {
    return ok(`none that this role can see runs for more than ${durationText(longTransactionMs / 1_000)}`)
  }
  return [
    ...rows.map(({ pid, application, state, seconds }) =>
      warning(
        `the process ${pid} (${application || 'without a name'}, ${state}) is in one for ${durationText(seconds)}`,
        [{ do: 'Let it end; or, where nobody waits for it:' }, { sql: `SELECT pg_terminate_backend(${pid});` }],
      ),
    ),
    ...prepared.map(({ gid, seconds }) =>
      warning(`a prepared transaction waits for ${durationText(seconds)}`, [
        { do: `Commit it (COMMIT PREPARED ${gid};), or where its coordinator is gone:` },
        { sql: `ROLLBACK PREPARED ${gid};` },
      ]),
    ),
  ]
}
