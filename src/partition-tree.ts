/**
 * Tables and their partitions of all levels, as a subquery of `root`, `relid` and `level`; a table's own is 0. What is being
 * detached is left out. Takes no lock: `pg_partition_tree` locks the partitions, and waits for whoever alters one.
 *
 * For all tables at once: asked for each of many, the planner joins whole catalogues every time.
 * @param tables a query in SQL, for their OIDs.
 */
export const partitionTree = (tables: string): string => `(
  WITH RECURSIVE tree AS (
    SELECT asked.oid::oid AS root, asked.oid::oid AS relid, 0 AS level FROM (${tables}) AS asked (oid)
    UNION
    SELECT tree.root, i.inhrelid, tree.level + 1
      FROM tree
      JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.relid AND NOT i.inhdetachpending
      JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relispartition)
  SELECT root, relid, level FROM tree)`
