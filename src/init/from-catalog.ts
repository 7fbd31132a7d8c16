import type { Queryable } from '../ledger/postgres.js'
import type { Candidate, FieldKind } from './candidate.js'

/** Tables and partitioned tables, without partitions, the catalogue, extensions' tables, and other tools' own. */
const tablesSql = `
  SELECT c.oid, n.nspname AS schema, c.relname AS name,
    coalesce((SELECT array_agg(a.attname::text ORDER BY k.nr) FROM pg_catalog.pg_index i
      CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, nr)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
      WHERE i.indrelid = c.oid AND i.indisprimary AND k.nr <= i.indnkeyatts), '{}') AS key
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname <> ALL ($1::text[]) AND n.nspname !~ '^pg_'
    AND c.relname <> '_prisma_migrations'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY n.nspname, c.relname`

/** A domain is of the kind of its base type; foreign keys of one column, and what they refer to. */
const columnsSql = `
  SELECT a.attrelid AS oid, a.attname AS name, t.typcategory = 'A' AS list,
    coalesce(nullif(e.oid, 0), t.oid)::regtype::text AS type,
    (SELECT f.confrelid FROM pg_catalog.pg_constraint f
      WHERE f.contype = 'f' AND f.conrelid = a.attrelid AND f.conkey = ARRAY[a.attnum]
        AND EXISTS (SELECT FROM pg_catalog.pg_index i
          WHERE i.indrelid = f.confrelid AND i.indisprimary AND i.indnkeyatts = 1 AND i.indkey[0] = f.confkey[1])
      ORDER BY f.oid LIMIT 1) AS refers_to
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
  JOIN pg_catalog.pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
  LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
  WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY a.attrelid, a.attnum`

const kinds: Readonly<Record<string, FieldKind>> = {
  text: 'text',
  'character varying': 'text',
  character: 'text',
  citext: 'text',
  smallint: 'number',
  integer: 'number',
  bigint: 'number',
  real: 'number',
  'double precision': 'number',
  numeric: 'number',
  boolean: 'boolean',
  date: 'time',
  'timestamp without time zone': 'time',
  'timestamp with time zone': 'time',
  json: 'json',
  jsonb: 'json',
  bytea: 'binary',
}

/**
 * The tables of a database, without those of these schemas.
 * @param db a client or a pool.
 */
export async function candidatesOfCatalog(db: Queryable, except: readonly string[]): Promise<Candidate[]> {
  const { rows: tables } = await db.query(tablesSql, [['information_schema', ...except]])
  const { rows: columns } = await db.query(columnsSql, [tables.map(({ oid }) => oid)])
  const nameOf = new Map(tables.map(({ oid, schema, name }) => [oid, `${schema}.${name}`]))
  return tables.map(({ oid, schema, name, key }) => ({
    name: `${schema}.${name}`,
    shortName: String(name),
    key: key as string[],
    fields: columns
      .filter((column) => column.oid === oid)
      .map((column) => ({
        name: String(column.name),
        kind: kinds[String(column.type)] ?? 'other',
        list: column.list === true,
        refersTo: nameOf.get(column.refers_to) ?? null,
        touched: false,
      })),
  }))
}
