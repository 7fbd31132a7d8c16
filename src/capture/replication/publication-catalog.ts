import type { ClientBase } from 'pg'
import { partitionTree } from '../../partition-tree.js'
import type { CurrentPublication, PublishedTable, WantedTable } from './publication-plan.js'

/** Reads the publication, or `null` when there is none of that name. */
export async function readPublication(
  client: ClientBase,
  name: string,
  versionNum: number,
): Promise<CurrentPublication | null> {
  const { rows } = await client.query<{
    oid: number
    allTables: boolean
    viaPartitionRoot: boolean
    allOperations: boolean
  }>(
    `SELECT oid, puballtables AS "allTables", pubviaroot AS "viaPartitionRoot",
            pubinsert AND pubupdate AND pubdelete AND pubtruncate AS "allOperations"
       FROM pg_catalog.pg_publication WHERE pubname = $1`,
    [name],
  )
  const [publication] = rows
  if (publication === undefined) return null
  // Column lists, row filters and whole schemas came with PostgreSQL 15.
  const lists = versionNum >= 150_000
  const { rows: tables } = await client.query<PublishedTable>(
    `SELECT n.nspname AS schema, c.relname AS name, ${lists ? 'pr.prqual IS NOT NULL' : 'false'} AS filtered,
            ${
              lists
                ? `(SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
                     WHERE a.attrelid = c.oid AND a.attnum = ANY (pr.prattrs::int2[]))`
                : 'NULL'
            } AS columns
       FROM pg_catalog.pg_publication_rel AS pr
       JOIN pg_catalog.pg_class AS c ON c.oid = pr.prrelid
       JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE pr.prpubid = $1`,
    [publication.oid],
  )
  const { rows: schemas } = lists
    ? await client.query<{ name: string }>(
        `SELECT n.nspname AS name FROM pg_catalog.pg_publication_namespace AS pn
           JOIN pg_catalog.pg_namespace AS n ON n.oid = pn.pnnspid WHERE pn.pnpubid = $1`,
        [publication.oid],
      )
    : { rows: [] }
  return { ...publication, tables, schemas: schemas.map((schema) => schema.name) }
}

/** What publishing a table takes: who owns it, and what identifies a row in the WAL. */
export interface TableIdentity extends WantedTable {
  readonly exists: boolean
  readonly owner: string | null
  readonly owned: boolean
  /** The table itself or those of its partitions that have no replica identity, as `"schema"."name"`. */
  readonly withoutIdentity: readonly string[]
  /** Whether a replica identity is the full row, which takes all columns. */
  readonly full: boolean
  readonly identityColumns: readonly string[]
  /** Columns that no column list may name on this server. */
  readonly unlistable: readonly string[]
}

/** One answer for each wanted table, in their order. */
export async function readIdentities(
  client: ClientBase,
  tables: readonly WantedTable[],
  versionNum: number,
): Promise<readonly TableIdentity[]> {
  const { rows } = await client.query<Omit<TableIdentity, keyof WantedTable>>(
    `WITH wanted AS (
       SELECT w.position, c.oid, c.relowner
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (schema, name, position)
         LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
         LEFT JOIN pg_catalog.pg_class AS c
                ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')
     ), members AS (
       SELECT w.position, c.oid, c.relreplident = 'f' AS is_full,
              pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
              -- A deferrable key identifies nothing in the WAL, and included columns are not part of it.
              (SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
                             WHERE a.attrelid = c.oid
                               AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
                 FROM pg_catalog.pg_index AS i
                WHERE i.indrelid = c.oid AND i.indimmediate AND i.indisvalid
                  AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
              ) AS columns
         FROM wanted AS w
         JOIN ${partitionTree('SELECT oid FROM wanted')} AS m ON m.root = w.oid
         JOIN pg_catalog.pg_class AS c ON c.oid = m.relid AND c.relkind = 'r'
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     )
     SELECT w.oid IS NOT NULL AS exists,
            pg_catalog.pg_get_userbyid(w.relowner)::text AS owner,
            COALESCE(pg_catalog.pg_has_role(w.relowner, 'USAGE'), false) AS owned,
            ARRAY(SELECT m.name FROM members AS m
                   WHERE m.position = w.position AND NOT m.is_full AND m.columns IS NULL) AS "withoutIdentity",
            EXISTS (SELECT FROM members AS m WHERE m.position = w.position AND m.is_full) AS full,
            ARRAY(SELECT DISTINCT unnest(m.columns) FROM members AS m
                   WHERE m.position = w.position) AS "identityColumns",
            ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
                   WHERE a.attrelid = w.oid AND a.attgenerated <> ''
                     AND NOT (a.attgenerated = 's' AND $3 >= 180000)) AS unlistable
       FROM wanted AS w ORDER BY w.position`,
    [tables.map((table) => table.schema), tables.map((table) => table.name), versionNum],
  )
  return tables.flatMap((table, index) => {
    const row = rows[index]
    return row === undefined ? [] : [{ ...table, ...row }]
  })
}
