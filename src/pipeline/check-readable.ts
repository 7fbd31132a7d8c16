import pg from 'pg'
import { SyncError } from '../errors.js'
import type { BoundTable } from '../mapping/bind.js'
import type { Queryable } from '../mapping/types.js'
import type { Sources } from './sources.js'

/**
 * Checks that this role sees all rows of the mapped tables. A row that a policy hides would be taken for a deleted one.
 * @throws {SyncError} `TABLE_UNFIT`
 */
export async function checkReadable(db: Queryable, sources: Sources): Promise<void> {
  const bound = sources.all.map((source) => source.bound)
  const { role, oids } = await hiddenTables(db, bound)
  const hidden = sources.all.filter((source) => oids.has(source.bound.table.oid))
  if (hidden.length === 0) return
  const names = hidden.map(({ name }) => name).join(', ')
  throw new SyncError('TABLE_UNFIT', `Row-level security hides rows of ${names} from the role ${role}`, {
    hint: `Let it read as a role that sees every row (a connection of its own will do): ${bypassSql(role)}`,
  })
}

/** The tables of which policies hide rows from this role. */
export async function hiddenTables(
  db: Queryable,
  tables: readonly BoundTable[],
): Promise<{ readonly role: string; readonly oids: ReadonlySet<number> }> {
  const { rows } = await db.query({
    text: `SELECT current_user AS role, array_agg(oid::text) AS oids FROM unnest($1::oid[]) AS oid
      WHERE pg_catalog.row_security_active(oid)`,
    values: [tables.map(({ table }) => table.oid)],
  })
  const [row] = rows as { readonly role: string; readonly oids: readonly string[] | null }[]
  return { role: row?.role ?? '', oids: new Set((row?.oids ?? []).map(Number)) }
}

export const bypassSql = (role: string): string => `ALTER ROLE ${pg.escapeIdentifier(role)} BYPASSRLS`
