import type { CapturedTable, ClientTables, ForeignKey, Relation } from './tables.js'

/** What runs a query: a client or a pool of `pg`. */
export interface Queryable {
  query(config: { readonly text: string; readonly values?: unknown[] }): Promise<{ rows: unknown[] }>
}

/** A mapped table; both names as the catalogue spells them. */
export interface MappedTable {
  readonly schema: string
  readonly name: string
  /** The primary key, then the id columns that are not in it. */
  readonly keyColumns: readonly string[]
  readonly tombstone: boolean
}

export interface ReadClientTablesOptions {
  readonly tables: readonly MappedTable[]
  /** The schema of models without `@@schema`: that of the database URL (`?schema=`), else `public`. */
  readonly defaultSchema: string
}

/** Reads all that the client capture needs of `pg_catalog`. Not through the client that is captured. */
export async function readClientTables(db: Queryable, options: ReadClientTablesOptions): Promise<ClientTables> {
  const { defaultSchema } = options
  const keys = options.tables.flatMap((table) => table.keyColumns.map((column) => ({ ...table, column })))
  const values = [keys.map((key) => key.schema), keys.map((key) => key.name), keys.map((key) => key.column)]
  const { rows } = await db.query({ text: keyColumnsSql, values })
  const columns = rows as readonly KeyColumnRow[]
  const tables = options.tables.map(
    (table): CapturedTable => ({
      source: `${table.schema}.${table.name}`,
      tombstone: table.tombstone,
      keyColumns: table.keyColumns.flatMap((column) =>
        columns.filter((row) => row.schema === table.schema && row.table === table.name && row.name === column),
      ),
    }),
  )
  const deferrable = await db.query({ text: 'SELECT FROM pg_catalog.pg_constraint WHERE condeferrable LIMIT 1' })
  return {
    defaultSchema,
    tables,
    foreignKeys: await readForeignKeys(db),
    relations: await readRelations(db),
    deferrable: deferrable.rows.length > 0,
    writers: await readWriters(db),
  }
}

/** All foreign keys of the database; those of partitions are their table's. */
export async function readForeignKeys(db: Queryable): Promise<readonly ForeignKey[]> {
  const { rows } = await db.query({ text: foreignKeysSql })
  return rows as ForeignKey[]
}

/** All tables and views of the database, with what a write to them may change. */
export async function readRelations(db: Queryable): Promise<readonly Relation[]> {
  const { rows } = await db.query({ text: relationsSql })
  return rows as Relation[]
}

/** The functions that may write: by the words in their text, or because they call one that may. */
export async function readWriters(db: Queryable): Promise<readonly string[]> {
  const { rows } = await db.query({ text: functionsSql })
  const rest = new Set(rows as { readonly name: string; readonly text: string | null }[])
  const writers = new Set<string>()
  for (let found = -1; found !== writers.size; ) {
    found = writers.size
    for (const each of rest) {
      const calls = (writer: string): boolean => each.text?.toLowerCase().includes(writer.toLowerCase()) === true
      if (each.text !== null && !writing.test(each.text) && ![...writers].some(calls)) continue
      writers.add(each.name)
      rest.delete(each)
    }
  }
  return [...writers]
}

const writing = /\b(?:insert|update|delete|merge|truncate|copy|execute|call|alter)\b/i

interface KeyColumnRow {
  readonly schema: string
  readonly table: string
  readonly name: string
  readonly type: string
  readonly typmod: number
  readonly labels: readonly string[] | null
}

// A column of a domain has no modifier of its own: the domain has it.
const keyColumnsSql = `
  SELECT w.schema, w.table, w.column AS name, b.typname::text AS type, b.typmod,
         (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder)
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = b.oid) AS labels
    FROM unnest($1::text[], $2::text[], $3::text[]) AS w (schema, "table", "column")
    JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.table
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = w.column AND NOT a.attisdropped
   CROSS JOIN LATERAL (
      WITH RECURSIVE types AS (
        SELECT t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod, a.atttypmod AS typmod
          FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod,
               CASE types.typmod WHEN -1 THEN types.typtypmod ELSE types.typmod END
          FROM types JOIN pg_catalog.pg_type t ON t.oid = types.typbasetype
         WHERE types.typtype = 'd')
      SELECT * FROM types WHERE typtype <> 'd') b`

const actionSql = (column: string): string =>
  `CASE ${column} WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set' WHEN 'd' THEN 'set' ELSE 'none' END`

const columnNamesSql = (relation: string, numbers: string): string => `
  (SELECT json_agg(a.attname ORDER BY k.position)
     FROM unnest(${numbers}) WITH ORDINALITY AS k (attnum, position)
     JOIN pg_catalog.pg_attribute a ON a.attrelid = ${relation} AND a.attnum = k.attnum)`

const foreignKeysSql = `
  SELECT cn.nspname || '.' || c.relname AS child, ${columnNamesSql('f.conrelid', 'f.conkey')} AS "childColumns",
         EXISTS (SELECT FROM pg_catalog.pg_index i
                  WHERE i.indrelid = f.conrelid AND i.indisunique
                    AND (i.indkey::int2[])[0:i.indnkeyatts - 1] <@ f.conkey) AS "childUnique",
         pn.nspname || '.' || p.relname AS parent, ${columnNamesSql('f.confrelid', 'f.confkey')} AS "parentColumns",
         ${actionSql('f.confdeltype')} AS "onDelete", ${actionSql('f.confupdtype')} AS "onUpdate"
    FROM pg_catalog.pg_constraint f
    JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
    JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_catalog.pg_class p ON p.oid = f.confrelid
    JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
   WHERE f.contype = 'f' AND f.conparentid = 0`

const relationsSql = `
  WITH RECURSIVE reached AS (
    SELECT c.oid, c.oid AS target FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION
    SELECT reached.oid, next.target
      FROM reached
     CROSS JOIN LATERAL (
        SELECT d.refobjid AS target
          FROM pg_catalog.pg_rewrite r
          JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
         WHERE r.ev_class = reached.target
        UNION ALL
        SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = reached.target) next)
  SELECT n.nspname AS schema, c.relname AS name,
         json_agg(tn.nspname || '.' || t.relname ORDER BY tn.nspname, t.relname) AS writes
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN reached ON reached.oid = c.oid
    JOIN pg_catalog.pg_class t ON t.oid = reached.target
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
   WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
   GROUP BY n.nspname, c.relname`

// The text of one in another language says nothing to us. What is written in C are the functions of extensions.
const functionsSql = `
  SELECT p.proname AS name,
         CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN pg_catalog.pg_get_functiondef(p.oid) END AS text
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
   WHERE p.prokind = 'f' AND p.provolatile = 'v' AND l.lanname NOT IN ('c', 'internal')
     AND p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype)
     AND n.nspname NOT IN ('pg_catalog', 'information_schema')`
