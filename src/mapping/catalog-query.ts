import { partitionTree } from '../partition-tree.js'

/** The columns that the old row of an update or delete carries; pgoutput leaves generated columns out. */
const identityColumns = (relation: string): string => `
  (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]')
     FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ${relation}.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      AND CASE ${relation}.relreplident
            WHEN 'f' THEN true
            WHEN 'n' THEN false
            ELSE EXISTS (SELECT
                           FROM pg_catalog.pg_index i
                          WHERE i.indrelid = a.attrelid AND i.indimmediate
                            AND CASE ${relation}.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END
                            AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
          END)`

/** An operator of the key's index by its btree strategy, as SQL. */
const operatorOf = (strategy: number): string => `
  (SELECT pg_catalog.format('OPERATOR(%I.%s)', opn.nspname, o.oprname)
     FROM pg_catalog.pg_amop ao
     JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr
     JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace
    WHERE am.amname = 'btree' AND ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype
      AND ao.amoprighttype = oc.opcintype AND ao.amopstrategy = ${strategy})`

/**
 * All tables and views by name, and the details of the wanted ones: `$1` their schemas, `$2` their names. One query
 * whatever their number; the one-time filter inside the lateral, where `OFFSET 0` keeps it, spares it the others.
 *
 * `equals` and `greater` are operators of the primary key's own index: citext's `=` is not found by name when its schema is
 * not in `search_path`, and text's would be taken, which the index does not serve.
 */
export const catalogSql = `
  WITH leaves AS MATERIALIZED (
    SELECT tree.root, l.oid, ln.nspname, l.relname, l.relkind, l.relpersistence, l.relreplident
      FROM ${partitionTree(`
        SELECT c.oid
          FROM unnest($1::text[], $2::text[]) AS w (schema, name)
          JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
          JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name`)} tree
      JOIN pg_catalog.pg_class l ON l.oid = tree.relid
      JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace
     WHERE tree.level > 0 AND l.relkind <> 'p')
  SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.relpersistence AS persistence,
         c.relispartition AS "isPartition", c.relreplident AS "replicaIdentity", d.*
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN LATERAL (
      SELECT
        (SELECT coalesce(json_agg(json_build_object(
                  'name', a.attname, 'typeOid', a.atttypid::bigint, 'notNull', a.attnotnull OR t.typnotnull,
                  'generated', a.attgenerated) ORDER BY a.attnum), '[]')
           FROM pg_catalog.pg_attribute a
           JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
        (SELECT coalesce(json_agg(json_build_object(
                  'name', a.attname,
                  'equals', coalesce(${operatorOf(3)}, 'OPERATOR(pg_catalog.=)'),
                  'greater', coalesce(${operatorOf(5)}, 'OPERATOR(pg_catalog.>)')) ORDER BY k.position), '[]')
           FROM pg_catalog.pg_index i
          CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS k (attnum, opclass, position)
           JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
           JOIN pg_catalog.pg_opclass oc ON oc.oid = k.opclass
           JOIN pg_catalog.pg_am am ON am.oid = oc.opcmethod
          WHERE i.indrelid = c.oid AND i.indisprimary) AS "primaryKey",
        ${identityColumns('c')} AS "identityColumns",
        (SELECT coalesce(json_agg(json_build_object(
                  'schema', l.nspname, 'name', l.relname, 'kind', l.relkind, 'persistence', l.relpersistence,
                  'replicaIdentity', l.relreplident, 'identityColumns', ${identityColumns('l')})
                  ORDER BY l.nspname, l.relname), '[]')
           FROM leaves l
          WHERE l.root = c.oid) AS partitions
       WHERE EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS w (schema, name)
                      WHERE w.schema = n.nspname AND w.name = c.relname)
       OFFSET 0
    ) d ON true
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
   ORDER BY n.nspname, c.relname`
