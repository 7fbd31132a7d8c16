import { setTimeout as wait } from 'node:timers/promises'
import type { ClientBase } from 'pg'
import { backoffMs } from '../../backoff.js'
import { mayPass } from '../../database-errors.js'
import { type ErrorCode, SyncError } from '../../errors.js'
import { readIdentities, readPublication, type TableIdentity } from './publication-catalog.js'
import {
  type PublicationStep,
  publicationPlan,
  type TableName,
  tableSql,
  unpublished,
  type WantedPublication,
  type WantedTable,
} from './publication-plan.js'
import { codeOf } from './stream-errors.js'

/** What is wrong with a publication, and what mends it. */
export interface PublicationFinding {
  readonly code: ErrorCode
  readonly message: string
  /** The exact SQL; `null` where no SQL alone would do. */
  readonly sql: string | null
}

interface Survey {
  readonly steps: readonly PublicationStep[]
  readonly problems: readonly SyncError[]
  readonly identities: readonly TableIdentity[]
}

export interface EnsureOptions {
  /** How long an attempt waits for a lock. Default: 3,000. */
  readonly lockTimeoutMs?: number
  /** Default: 5. */
  readonly attempts?: number
}

/** Two at once: a lock that does not come, a deadlock, `tuple concurrently updated`, a row that the other one made. */
const PASSING = new Set(['55P03', '40P01', '40001', 'XX000', '23505', '42710'])

/** Everything that keeps the publication from serving the mapping; empty when it fits. Changes nothing. */
export async function checkPublication(
  client: ClientBase,
  wanted: WantedPublication,
): Promise<readonly PublicationFinding[]> {
  const { steps, problems } = await survey(client, wanted)
  return [
    ...problems.map(({ code, message, hint }) => ({ code, message, sql: hint ?? null })),
    ...steps.map(({ message, sql }) => ({ code: 'PUBLICATION_UNFIT' as const, message, sql })),
  ]
}

/** Tables of which changes were missed while the publication was as it is; see {@link unpublished}. */
export async function unpublishedTables(
  client: ClientBase,
  { name, tables }: WantedPublication,
): Promise<readonly TableName[]> {
  return unpublished(await readPublication(client, name, await versionOf(client)), tables)
}

/**
 * Makes the publication what the mapping needs: creates it, adds and drops tables, sets options. Returns the SQL that was
 * run. Safe to run twice, and from several processes at once. Needs a connection of its own, outside of a transaction.
 *
 * Adding a table takes a lock that waits for migrations and index builds (`SHARE UPDATE EXCLUSIVE`; reads and writes do
 * not mind it). It gives up and tries again rather than stand in the queue.
 */
export async function ensurePublication(
  client: ClientBase,
  wanted: WantedPublication,
  options: EnsureOptions = {},
): Promise<readonly string[]> {
  const { lockTimeoutMs = 3_000, attempts = 5 } = options
  for (let attempt = 1; ; attempt++) {
    try {
      return await change(client, wanted, lockTimeoutMs)
    } catch (error) {
      if (error instanceof SyncError) throw error
      const passing = PASSING.has(codeOf(error) ?? '')
      if (!passing || attempt >= attempts) throw failure(error, wanted, passing)
      await wait(backoffMs(attempt - 1, { baseMs: 200, maxMs: lockTimeoutMs }, Math.random))
    }
  }
}

async function change(client: ClientBase, wanted: WantedPublication, lockTimeoutMs: number): Promise<string[]> {
  await client.query('BEGIN')
  try {
    await client.query(`SET LOCAL lock_timeout = ${Math.floor(lockTimeoutMs)}`)
    await client.query(`SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))`, [
      `safetykit publication ${wanted.name}`,
    ])
    const { steps, problems, identities } = await survey(client, wanted)
    if (problems.length > 0) throw together(problems)
    for (const { sql } of steps) {
      try {
        await client.query(sql)
      } catch (error) {
        throw codeOf(error) === '42501' ? notAllowed(error, steps, identities) : error
      }
    }
    await client.query('COMMIT')
    return steps.map(({ sql }) => sql)
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  }
}

async function survey(client: ClientBase, wanted: WantedPublication): Promise<Survey> {
  const versionNum = await versionOf(client)
  const identities = await readIdentities(client, wanted.tables, versionNum)
  const current = await readPublication(client, wanted.name, versionNum)
  const { steps, refusals } = publicationPlan(current, { name: wanted.name, tables: identities.map(listed) })
  const problems = [...identities.flatMap(identityProblems), ...refusals]
  if (versionNum < 150_000 && wanted.tables.some(({ columns }) => columns !== null)) {
    problems.push(
      new SyncError('PUBLICATION_UNFIT', 'Column lists need PostgreSQL 15 or newer', {
        hint: `Set publication.columns to 'all'.`,
      }),
    )
  }
  return { steps, problems, identities }
}

async function versionOf(client: ClientBase): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    `SELECT current_setting('server_version_num')::int AS version`,
  )
  return rows[0]?.version ?? 0
}

/**
 * The table with the column list that it can have. An update fails in the application where the list lacks a column of
 * the replica identity; so those are added, and a full identity takes the whole row.
 */
function listed({ schema, name, columns, full, identityColumns, unlistable }: TableIdentity): WantedTable {
  if (columns === null || full) return { schema, name, columns: null }
  const all = new Set([...columns, ...identityColumns])
  return { schema, name, columns: [...all].filter((column) => !unlistable.includes(column)) }
}

function identityProblems(table: TableIdentity): SyncError[] {
  const name = tableSql(table)
  if (!table.exists) return [new SyncError('TABLE_UNFIT', `The table ${name} does not exist`)]
  return table.withoutIdentity.map(
    (member) =>
      new SyncError('TABLE_UNFIT', `${member} has no replica identity: once published, its updates would fail`, {
        hint: `ALTER TABLE ${member} ADD PRIMARY KEY (…); or ALTER TABLE ${member} REPLICA IDENTITY FULL;`,
      }),
  )
}

function together(problems: readonly SyncError[]): SyncError {
  const [first] = problems
  if (first !== undefined && problems.length === 1) return first
  return new SyncError(first?.code ?? 'PUBLICATION_UNFIT', problems.map(({ message }) => message).join('; '), {
    hint: problems.flatMap(({ hint }) => hint ?? []).join('\n'),
  })
}

function notAllowed(
  cause: unknown,
  steps: readonly PublicationStep[],
  identities: readonly TableIdentity[],
): SyncError {
  const foreign = identities.filter(({ owned }) => !owned)
  const reason =
    foreign.length > 0
      ? `it does not own ${foreign.map((table) => `${tableSql(table)} (owner ${table.owner})`).join(', ')}`
      : 'it needs CREATE on the database, and has to own a publication that it changes'
  return new SyncError('DATABASE_UNFIT', `The role may not set up the publication: ${reason}`, {
    hint: `Let the owner, or a superuser, run:\n${steps.map(({ sql }) => sql).join('\n')}`,
    cause,
  })
}

function failure(cause: unknown, { name }: WantedPublication, passing: boolean): SyncError {
  return new SyncError('PUBLICATION_UNFIT', `The publication "${name}" could not be set up`, {
    hint: passing
      ? 'Something holds a lock on a mapped table: SELECT pid, query FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start; and run it again.'
      : undefined,
    retryable: passing || mayPass(cause),
    cause,
  })
}
