import { escapeIdentifier, escapeLiteral } from 'pg'
import type { CapturedTable } from './captured-table.js'
import { keyOfAnyTypesSql, keySql } from './key-sql.js'

/** The name under which a statement's trigger sees the rows that it has inserted. */
export const transitionTable = 'new_rows'

/*
 * What holds for all of them:
 * - A write of the application never fails because of a migration. A body without dependencies on columns lets every
 *   migration pass; what then no longer fits raises inside the inner block, and is caught.
 * - The insert stands outside of that block: a subtransaction that writes takes a transaction id, and one that does not is
 *   almost free.
 * - What a migration can raise there: undefined_column, datatype_mismatch (a plan of this session is older than the
 *   column's type), undefined_function, and more with every kind of type. So all of it is caught.
 * - Where a mapped column is gone, the row's key can still be told, by a query that is planned anew. Where the key itself
 *   is gone, the whole table is marked (a null key).
 * - They run as their owner, for writers that have no rights here, so that no name is left to the writer's `search_path`:
 *   hence the qualified operators, and no `IS DISTINCT FROM`, whose `=` is looked up there.
 */

/** Row by row: of tables whose rows arrive by statements on another table (partitions), or from a publisher. */
export function insertedRowBody(table: CapturedTable, schema: string): string {
  return oneKeyBody(table, schema, 'NEW')
}

export function deletedRowBody(table: CapturedTable, schema: string): string {
  return oneKeyBody(table, schema, 'OLD')
}

function oneKeyBody({ source, keyColumns }: CapturedTable, schema: string, row: 'NEW' | 'OLD'): string {
  return `
DECLARE
  row_key pg_catalog.jsonb;
BEGIN
  BEGIN
    row_key := ${keySql(row, keyColumns, schema)};
  EXCEPTION WHEN OTHERS THEN
    BEGIN
      EXECUTE ${text(`SELECT ${keyOfAnyTypesSql('($1)', keyColumns, schema)}`)} INTO row_key USING ${row};
    EXCEPTION WHEN OTHERS THEN
      row_key := NULL;
    END;
  END;
  ${insert(schema)} VALUES (${text(source)}, row_key);
  RETURN NULL;
END`
}

/**
 * A statement at once: 10,000 rows cost two thirds of what they cost row by row. Whether the key's columns are there is
 * asked of the catalogue, which is cheaper than a query; then the insert, which is planned anew after a migration, cannot
 * fail.
 */
export function insertedRowsBody({ source, keyColumns }: CapturedTable, schema: string): string {
  const columnsAreThere = keyColumns.map(
    ({ name }) => `pg_catalog.has_column_privilege(TG_RELID, ${text(name)}, 'SELECT') IS NOT NULL`,
  )
  return `
DECLARE
  key_is_there pg_catalog.bool;
BEGIN
  BEGIN
    key_is_there := ${columnsAreThere.join(' AND ')};
  EXCEPTION WHEN OTHERS THEN
    key_is_there := false;
  END;
  IF key_is_there THEN
    ${insert(schema)} SELECT ${text(source)}, ${keySql('n', keyColumns, schema)} FROM ${transitionTable} AS n;
  ELSE
    ${insert(schema)} SELECT ${text(source)}, NULL FROM ${transitionTable} LIMIT 1;
  END IF;
  RETURN NULL;
END`
}

/**
 * Records are compared by their images, so by what is sent: `=` takes 1.0 for 1.00, citext 'a' for 'A', and json has none.
 * It is no slower than a chain of comparisons.
 */
export function updatedRowBody(table: CapturedTable, schema: string): string {
  const { source, keyColumns, columns, readsVirtualColumns, tombstone } = table
  const record = (row: string, names: readonly string[]): string =>
    `ROW(${names.map((name) => `${row}.${escapeIdentifier(name)}`).join(', ')})`
  const same = (names: readonly string[]): string =>
    `pg_catalog.record_image_eq(${record('NEW', names)}, ${record('OLD', names)})`
  const keyNames = keyColumns.map(({ name }) => name)
  const keys = (how: typeof keySql, rows: readonly string[]): string =>
    rows.map((row) => how(row, keyColumns, schema)).join(', ')
  // Before the new key: an object may be named after a column that both rows share, and the newest mark is what counts.
  const insertOldKey = tombstone
    ? `
  IF old_key OPERATOR(pg_catalog.<>) new_key THEN
    ${insert(schema)} VALUES (${text(source)}, old_key);
  END IF;`
    : ''
  return `
DECLARE
  new_key pg_catalog.jsonb;
  old_key pg_catalog.jsonb;
BEGIN
  BEGIN
    IF ${readsVirtualColumns ? 'pg_catalog.record_image_eq(NEW, OLD)' : same(columns)} THEN
      RETURN NULL;
    END IF;
    new_key := ${keys(keySql, ['NEW'])};${
      tombstone
        ? `
    IF NOT ${same(keyNames)} THEN
      old_key := ${keys(keySql, ['OLD'])};
    END IF;`
        : ''
    }
  EXCEPTION WHEN OTHERS THEN
    BEGIN
      ${
        tombstone
          ? `EXECUTE ${text(`SELECT ${keys(keyOfAnyTypesSql, ['($1)', '($2)'])}`)} INTO new_key, old_key USING NEW, OLD;`
          : `EXECUTE ${text(`SELECT ${keys(keyOfAnyTypesSql, ['($1)'])}`)} INTO new_key USING NEW;`
      }
    EXCEPTION WHEN OTHERS THEN
      new_key := NULL;
      old_key := NULL;
    END;
  END;${insertOldKey}
  ${insert(schema)} VALUES (${text(source)}, new_key);
  RETURN NULL;
END`
}

/** `format` writes what the output function writes; a cast to text differs for bool, char(n) and inet. */
export const keyTextBody = `
BEGIN
  RETURN pg_catalog.format('%s', $1);
END`

const insert = (schema: string): string => `INSERT INTO ${escapeIdentifier(schema)}.dirty (source, key)`

const text = (value: string): string => escapeLiteral(value).trim()
