import pg from 'pg'
import { SyncError } from '../errors.js'
import type { Queryable } from '../mapping/types.js'
import type { Sources } from './sources.js'

/**
 * Checks that this role sees all rows of the mapped tables. A row that a policy hides would be taken for a deleted one.
 * @throws {SyncError} `TABLE_UNFIT`
 */
export async function checkReadable(db: Queryable, sources: Sources): Promise<void> {
  const oids = sources.all.map(({ bound }) => bound.table.oid)
  const { rows } = await db.query({
    text: `SELECT current_user AS role, array_agg(oid::text) AS oids FROM unnest($1::oid[]) AS oid
      WHERE pg_catalog.row_security_active(oid)`,
    values: [oids],
  })
  const [row] = rows as { readonly role: string; readonly oids: readonly string[] | null }[]
  const hidden = sources.all.filter(({ bound }) => row?.oids?.includes(String(bound.table.oid)) === true)
  if (row === undefined || hidden.length === 0) return
  const names = hidden.map(({ name }) => name).join(', ')
  throw new SyncError('TABLE_UNFIT', `Row-level security hides rows of ${names} from the role ${row.role}`, {
    hint: `Let it read as a role that sees every row (a connection of its own will do): ALTER ROLE ${pg.escapeIdentifier(row.role)} BYPASSRLS`,
  })
}
