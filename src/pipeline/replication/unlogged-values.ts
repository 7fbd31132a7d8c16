import { escapeIdentifier, type Pool } from 'pg'
import type { Logger } from '../../logger.js'
import type { Sources } from '../sources.js'

interface UnloggedValuesOptions {
  readonly db: Pool
  readonly sources: Sources
  readonly logger: Logger
}

const longColumns = `SELECT attname AS name FROM pg_catalog.pg_attribute
  WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND attstorage <> 'p' AND attname = ANY ($2::text[])
  ORDER BY attnum`

/**
 * Where each version is sent, tells of columns whose long values are not in the WAL when an update leaves them alone: they
 * are read from the row, which may be newer by then.
 */
export async function tellUnloggedValues({ db, sources, logger }: UnloggedValuesOptions): Promise<void> {
  for (const { name: source, bound, targets } of sources.all) {
    const every = targets.filter(({ mapping }) => mapping.deliver === 'every')
    const stores = bound.table.partitions.length === 0 ? [bound.table] : bound.table.partitions
    const partial = stores.filter(({ replicaIdentity }) => replicaIdentity !== 'full')
    if (every.length === 0 || partial.length === 0) continue
    const names = every.flatMap(({ mapping }) => mapping.fields.map(({ column }) => column))
    const { rows } = await db.query<{ name: string }>(longColumns, [bound.table.oid, names])
    if (rows.length === 0) continue
    const hint = partial
      .map(
        ({ schema, name }) =>
          `ALTER TABLE ${escapeIdentifier(schema)}.${escapeIdentifier(name)} REPLICA IDENTITY FULL;`,
      )
      .join(' ')
    const columns = rows.map(({ name }) => name)
    const message = 'Long values that an update leaves alone are read from the row, though deliver is "every"'
    logger.warn(message, { source, columns, hint })
  }
}
