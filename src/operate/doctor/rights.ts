import type { ClientBase } from 'pg'
import { escapeIdentifier } from 'pg'
import type { ResolvedSync } from '../../config/resolved.js'
import type { BoundTable } from '../../mapping/bind.js'
import { sqlName } from '../../mapping/table-name.js'
import { type Learnt, Missing } from './examination.js'
import { type Check, failure, ok, type Step, type Verdict } from './finding.js'
import type { Tables } from './tables.js'

export const readingCheck: Check<Tables> = {
  check: 'read-rights',
  why: 'Rows are read again where a change is only a hint, and in every scan.',
  look: async ({ client, bound }) => {
    const failures: Verdict[] = []
    // One after the other: a connection takes one query at a time.
    for (const table of bound) failures.push(...(await lackingReads(client, table)))
    return failures.length > 0 ? failures : ok('every mapped column can be read')
  },
}

async function lackingReads(client: ClientBase, { source, table, readColumns }: BoundTable): Promise<Verdict[]> {
  const { rows } = await client.query<{ role: string; schema: boolean; columns: string[] }>(
    `SELECT current_user AS role, pg_catalog.has_schema_privilege($1::text, 'USAGE') AS schema,
            ARRAY(SELECT name FROM unnest($3::text[]) AS name
                   WHERE NOT pg_catalog.has_column_privilege($2::oid, name, 'SELECT')) AS columns`,
    [table.schema, table.oid, readColumns],
  )
  const { role = '', schema = true, columns = [] } = rows[0] ?? {}
  if (schema && columns.length === 0) return []
  const grantee = escapeIdentifier(role)
  const fix: Step[] = []
  if (!schema) fix.push({ sql: `GRANT USAGE ON SCHEMA ${escapeIdentifier(table.schema)} TO ${grantee};` })
  if (columns.length > 0) {
    fix.push({ sql: `GRANT SELECT (${columns.map(escapeIdentifier).join(', ')}) ON ${sqlName(table)} TO ${grantee};` })
  }
  const what = columns.length > 0 ? columns.join(', ') : `the schema ${table.schema}`
  return [failure(`the role ${role} may not read ${what} of ${source}`, fix, source)]
}

/** The side tables' database. */
export interface LedgerPlace {
  readonly client: ClientBase
  readonly resolved: ResolvedSync
}

export interface LedgerGiven extends LedgerPlace {
  /** Whether they are those of this version. */
  readonly current: boolean
}

/** The fix is for the side tables' database, where that is another one. */
const inLedger = ({ resolved }: LedgerPlace, sql: string): Step =>
  resolved.ledgerUrl === null ? { sql } : { sql, database: 'side tables' }

export const migrationRightsCheck: Check<LedgerGiven> = {
  check: 'migrate-rights',
  why: '"safetykit-sync migrate" makes the schema of the side tables, and upgrades them.',
  look: async (given) => {
    if (given.current) return ok('nothing has to be made')
    const { client, resolved } = given
    const { rows } = await client.query<{ role: string; database: string; owner: string | null; allowed: boolean }>(
      `SELECT current_user AS role, pg_catalog.current_database() AS database,
              pg_catalog.pg_get_userbyid(n.nspowner) AS owner,
              CASE WHEN n.oid IS NULL THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
                   WHEN pg_catalog.pg_has_role(n.nspowner, 'USAGE') THEN true
                   ELSE pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')
                     AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'
                                       AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')) END AS allowed
         FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1`,
      [resolved.schema],
    )
    const { role = '', database = '', owner = null, allowed = true } = rows[0] ?? {}
    if (allowed) return ok(`the role ${role} may make them`)
    if (owner === null) {
      const sql = `GRANT CREATE ON DATABASE ${escapeIdentifier(database)} TO ${escapeIdentifier(role)};`
      return failure(`the role ${role} may not make the schema ${resolved.schema}`, [inLedger(given, sql)])
    }
    const sql = `GRANT ${escapeIdentifier(owner)} TO ${escapeIdentifier(role)};`
    return failure(`the side tables belong to ${owner}, and the role ${role} may not upgrade them`, [
      { do: `Run "safetykit-sync migrate" as ${owner}; or:` },
      inLedger(given, sql),
    ])
  },
}

export const ledgerRightsCheck = {
  check: 'side-table-rights',
  why: 'Whoever delivers records in the side tables what SafetyKit has accepted; what cannot be recorded is sent again.',
}

/** Whether they may be read and written; where there are none yet they may be. */
export async function lookAtLedgerRights(given: LedgerPlace): Promise<Learnt<LedgerPlace>> {
  const { client, resolved } = given
  const { rows } = await client.query<{ role: string; usage: boolean; tables: string[] }>(
    `SELECT current_user AS role, pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usage,
              ARRAY(SELECT c.relname::text FROM pg_catalog.pg_class c
                     WHERE c.relnamespace = n.oid AND c.relkind = 'r' AND NOT CASE c.relname WHEN 'migrations' THEN
                           pg_catalog.has_table_privilege(c.oid, 'SELECT') ELSE
                           pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'INSERT')
                       AND pg_catalog.has_table_privilege(c.oid, 'UPDATE') AND pg_catalog.has_table_privilege(c.oid, 'DELETE') END
                     ORDER BY c.relname) AS tables
         FROM pg_catalog.pg_namespace n WHERE n.nspname = $1`,
    [resolved.schema],
  )
  const { role = '', usage = true, tables = [] } = rows[0] ?? {}
  if (usage && tables.length === 0) {
    const found = rows.length === 0 ? 'there are none yet' : 'they can be read and written'
    return { verdicts: ok(found), value: given }
  }
  const [schema, grantee] = [escapeIdentifier(resolved.schema), escapeIdentifier(role)]
  const what = usage ? `all of ${tables.join(', ')}` : `the schema ${resolved.schema}`
  const verdicts = failure(`the role ${role} may not read and write ${what}`, [
    inLedger(given, `GRANT USAGE ON SCHEMA ${schema} TO ${grantee};`),
    inLedger(given, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${grantee};`),
  ])
  return { verdicts, value: new Missing('"side-table-rights" failed') }
}
