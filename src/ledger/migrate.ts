import pg from 'pg'
import { SyncError } from '../errors.js'
import { sideTables } from './migrations/001-side-tables.js'
import { leases } from './migrations/002-leases.js'
import { backfillAndResults } from './migrations/003-backfill-and-results.js'
import { heartbeats } from './migrations/004-heartbeats.js'
import { submissionsByTime } from './migrations/005-submissions-by-time.js'
import type { Queryable } from './postgres.js'

/** In order; the number is the version. Never edited once released, only added to. */
const migrations: readonly {
  readonly version: number
  readonly name: string
  readonly sql: (schema: string) => string
}[] = [
  { version: 1, name: 'side tables', sql: sideTables },
  { version: 2, name: 'leases', sql: leases },
  { version: 3, name: 'imports and results', sql: backfillAndResults },
  { version: 4, name: 'heartbeats', sql: heartbeats },
  { version: 5, name: 'submissions by time', sql: submissionsByTime },
]

/** The version of the side tables that this package works with. */
export const ledgerVersion = migrations.length

/** Any number that is ours: concurrent migrations of one database queue here. */
const lockKey = 0x5afe_717

/**
 * Makes or upgrades the side tables, in one transaction. Safe to run from several processes at once.
 * @returns the names of the migrations that were applied; empty where nothing was to do.
 * @throws {SyncError} `SCHEMA_NEWER` where a newer version of this package was here; `DATABASE_UNFIT` where a right is missing.
 */
export async function migrateLedger(client: Queryable, schema: string): Promise<readonly string[]> {
  const quoted = pg.escapeIdentifier(schema)
  await client.query('BEGIN')
  try {
    await client.query('SELECT pg_advisory_xact_lock($1, hashtext($2))', [lockKey, schema])
    const before = await readVersion(client, schema)
    if (before > ledgerVersion) throw newer(before)
    const due = migrations.filter((migration) => migration.version > before)
    if (before === 0) {
      // Even with IF NOT EXISTS it takes the right to make schemas, which a role that was given this one need not have.
      if (!(await schemaExists(client, schema))) await client.query(`CREATE SCHEMA IF NOT EXISTS ${quoted}`)
      await client.query(`CREATE TABLE ${quoted}.migrations (
        version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`)
    }
    for (const { version, name, sql } of due) {
      await client.query(sql(quoted))
      await client.query(`INSERT INTO ${quoted}.migrations (version, name) VALUES ($1, $2)`, [version, name])
    }
    await client.query('COMMIT')
    return due.map((migration) => migration.name)
  } catch (error) {
    await client.query('ROLLBACK')
    if (error instanceof pg.DatabaseError && error.code === '42501') throw await forbidden(client, schema, error)
    throw error
  }
}

const schemaExists = async (client: Queryable, schema: string): Promise<boolean> =>
  (await client.query('SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1', [schema])).rows.length > 0

/** What the role lacks, and the SQL that gives it. */
async function forbidden(client: Queryable, schema: string, cause: pg.DatabaseError): Promise<SyncError> {
  const quoted = pg.escapeIdentifier(schema)
  const { rows } = await client.query(
    `SELECT current_user AS role, pg_catalog.current_database() AS database,
            pg_catalog.pg_get_userbyid(n.nspowner) AS owner
       FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1`,
    [schema],
  )
  const { role, database, owner } = rows[0] ?? {}
  const grantee = pg.escapeIdentifier(String(role))
  if (owner === null) {
    return new SyncError('DATABASE_UNFIT', `The role ${role} may not create the schema ${quoted}`, {
      cause,
      hint: `As the database's owner: GRANT CREATE ON DATABASE ${pg.escapeIdentifier(String(database))} TO ${grantee}; or: CREATE SCHEMA ${quoted} AUTHORIZATION ${grantee};`,
    })
  }
  return new SyncError(
    'DATABASE_UNFIT',
    `The role ${role} may not make or upgrade the side tables in the schema ${quoted}: ${cause.message}`,
    {
      cause,
      hint: `Run it as ${owner}, who owns the schema; or, as ${owner}: GRANT USAGE, CREATE ON SCHEMA ${quoted} TO ${grantee}; tables that are there already are upgraded by their owner alone.`,
    },
  )
}

/**
 * Checks that the side tables are those of this version.
 * @throws {SyncError} `SCHEMA_OUTDATED` or `SCHEMA_NEWER`.
 */
export async function checkLedger(client: Queryable, schema: string): Promise<void> {
  const version = await readVersion(client, schema)
  if (version > ledgerVersion) throw newer(version)
  if (version === ledgerVersion) return
  const what = version === 0 ? 'do not exist' : `have version ${version}, this package needs ${ledgerVersion}`
  throw new SyncError('SCHEMA_OUTDATED', `The side tables in the schema ${pg.escapeIdentifier(schema)} ${what}`, {
    hint: 'Run: safetykit-sync migrate',
  })
}

const newer = (version: number): SyncError =>
  new SyncError('SCHEMA_NEWER', `The side tables have version ${version}, this package knows ${ledgerVersion}`, {
    hint: 'Upgrade prisma-extension-safetykit here to the version that ran `safetykit-sync migrate`.',
  })

async function readVersion(client: Queryable, schema: string): Promise<number> {
  const table = `${pg.escapeIdentifier(schema)}.migrations`
  const { rows: found } = await client.query('SELECT to_regclass($1) IS NOT NULL AS "exists"', [table])
  if (found[0]?.exists !== true) return 0
  const { rows } = await client.query(`SELECT coalesce(max(version), 0)::integer AS version FROM ${table}`)
  return Number(rows[0]?.version ?? 0)
}
