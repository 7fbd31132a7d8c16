import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { inject } from 'vitest'

export { installedVersions, type OwnServer, type OwnServerOptions, ownServer, type StopMode } from './server.js'

export interface CreateDatabaseOptions {
  /** SQL that is run in the new database. */
  readonly sql?: string
  /** The database that is copied. Default: Postgres' own template. */
  readonly template?: string
  /** How long `drop()` waits for connections and slots to be let go before they count as leaked. Default: 5,000. */
  readonly leakGraceMs?: number
}

/** A database of one test file. */
export interface TestDatabase {
  readonly name: string
  /** As a superuser with REPLICATION. */
  readonly url: string
  readonly pool: pg.Pool
  query<Row extends pg.QueryResultRow = Record<string, unknown>>(
    sql: string,
    params?: readonly unknown[],
  ): Promise<pg.QueryResult<Row>>
  /** A connection of its own, which `drop()` ends. */
  client(): Promise<pg.Client>
  /**
   * Ends its own connections, and drops the database with its slots. Fails when anyone else is still connected or a slot
   * is still active: the code under test has leaked it. The database is gone in any case.
   */
  drop(): Promise<void>
}

/** Makes an empty database on the server that all test files share. */
export async function createDatabase(options: CreateDatabaseOptions = {}): Promise<TestDatabase> {
  const adminUrl = inject('postgresUrl')
  const name = `test_${randomBytes(8).toString('hex')}`
  const template = options.template === undefined ? '' : ` TEMPLATE ${pg.escapeIdentifier(options.template)}`
  await asAdmin(adminUrl, async (admin) => {
    const { rows } = await admin.query<{ copies: boolean }>(
      `SELECT current_setting('server_version_num')::int >= 150000 AS copies`,
    )
    // By the WAL it takes twice as long, and all walsenders of other tests have to read it.
    const strategy = rows[0]?.copies ? ' STRATEGY file_copy' : ''
    await admin.query(`CREATE DATABASE ${name}${template}${strategy}`)
  })

  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  const own = new Set<pg.Client>()
  const pool = new pg.Pool({ connectionString: url.href, max: 10 })
  // Tests terminate backends on purpose; an idle connection that breaks is replaced by the next one.
  pool.on('error', () => {})

  const database: TestDatabase = {
    name,
    url: url.href,
    pool,
    query: (sql, params = []) => pool.query(sql, [...params]),
    async client() {
      const client = new pg.Client({ connectionString: url.href })
      client.on('error', () => {})
      await client.connect()
      own.add(client)
      return client
    },
    async drop() {
      await Promise.all([pool.ended ? undefined : pool.end(), ...[...own].map((client) => client.end())])
      await asAdmin(adminUrl, async (admin) => {
        const leaked = await leaks(admin, name, options.leakGraceMs ?? 5_000)
        await remove(admin, name)
        if (leaked.length > 0)
          throw new Error(`leaked in database ${name}:\n${leaked.map((line) => `  ${line}`).join('\n')}`)
      })
    },
  }
  if (options.sql !== undefined) await pool.query(options.sql)
  return database
}

async function asAdmin<T>(url: string, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.end()
  }
}

/** What is still held after the grace: a backend takes a moment to go after its client has said goodbye. */
async function leaks(admin: pg.Client, database: string, graceMs: number): Promise<string[]> {
  const deadline = Date.now() + graceMs
  for (;;) {
    const { rows } = await admin.query<{ leak: string }>(
      `SELECT format('slot %s is active (pid %s)', slot_name, active_pid) AS leak
         FROM pg_replication_slots WHERE database = $1 AND active
       UNION ALL
       SELECT format('%s pid %s is connected as %L, %s: %s', backend_type, pid, application_name, state, query)
         FROM pg_stat_activity WHERE datname = $1 AND backend_type IN ('client backend', 'walsender')`,
      [database],
    )
    if (rows.length === 0 || Date.now() > deadline) return rows.map((row) => row.leak)
    await sleep(20)
  }
}

async function remove(admin: pg.Client, database: string): Promise<void> {
  const deadline = Date.now() + 30_000
  for (;;) {
    await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [database])
    await admin.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active',
      [database],
    )
    const { rows } = await admin.query('SELECT FROM pg_replication_slots WHERE database = $1', [database])
    if (rows.length === 0) break
    if (Date.now() > deadline) throw new Error(`the slots of database ${database} cannot be dropped`)
    await sleep(20)
  }
  await admin.query(`DROP DATABASE ${pg.escapeIdentifier(database)} WITH (FORCE)`)
}
