import type { ClientBase } from 'pg'
import { partitionTree } from '../../partition-tree.js'
import type { WantedCapture } from './captured-table.js'
import { marker } from './definitions.js'
import { transitionTable } from './function-bodies.js'
import { triggerName } from './object-names.js'

/** What is there of a capture by triggers. */
export interface Installed {
  readonly versionNum: number
  readonly role: string
  readonly tables: readonly InstalledTable[]
  /** Those of ours. */
  readonly functions: readonly InstalledFunction[]
  /** Those that call a function of ours, and those on wanted tables that have a name of ours. */
  readonly triggers: readonly InstalledTrigger[]
}

export interface InstalledTable {
  readonly oid: string
  readonly schema: string
  readonly name: string
  /** For SQL. */
  readonly sqlName: string
  readonly owner: string
  readonly owned: boolean
  /** Partitioned, a partition, or written by a subscription: all of which fire row triggers alone. */
  readonly byRow: boolean
}

export interface InstalledFunction {
  readonly name: string
  readonly body: string
  readonly config: readonly string[]
  readonly strict: boolean
  readonly definer: boolean
  readonly owned: boolean
}

export interface InstalledTrigger {
  readonly name: string
  readonly tableOid: string
  readonly tableSqlName: string
  /** `schema.table`. */
  readonly table: string
  readonly owner: string
  readonly owned: boolean
  /** `null` where it calls none of ours. */
  readonly functionName: string | null
  /** `pg_trigger.tgtype`. */
  readonly type: number
  /** Neither columns, nor `WHEN`, nor arguments; and the transition table that a statement's trigger needs. */
  readonly plain: boolean
  readonly enabled: 'always' | 'origin' | 'replica' | 'disabled'
  /** Partitions on which it is missing or not always enabled. */
  readonly unfitPartitions: number
}

const installedSql = `
WITH wanted AS (
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition, c.relowner
    FROM unnest($2::text[], $3::text[]) AS w (schema, name)
    JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
), ours AS (
  SELECT p.*
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
   WHERE n.nspname = $1 AND pg_catalog.starts_with(pg_catalog.obj_description(p.oid, 'pg_proc'), $4)
), partitions AS MATERIALIZED (
  SELECT tree.root, tree.relid
    FROM ${partitionTree(`
      SELECT oid FROM wanted
      UNION SELECT t.tgrelid FROM pg_catalog.pg_trigger t JOIN ours ON ours.oid = t.tgfoid WHERE t.tgparentid = 0`)} tree
   WHERE tree.level > 0
)
SELECT current_setting('server_version_num')::int AS "versionNum", current_user AS role,
  (SELECT coalesce(json_agg(json_build_object(
            'oid', w.oid::text, 'schema', w.nspname, 'name', w.relname,
            'sqlName', pg_catalog.format('%I.%I', w.nspname, w.relname),
            'owner', pg_catalog.pg_get_userbyid(w.relowner),
            'owned', pg_catalog.pg_has_role(w.relowner, 'USAGE'),
            'byRow', w.relkind = 'p' OR w.relispartition
                     OR EXISTS (SELECT FROM pg_catalog.pg_subscription_rel s WHERE s.srrelid = w.oid))), '[]')
     FROM wanted w) AS tables,
  (SELECT coalesce(json_agg(json_build_object(
            'name', p.proname, 'body', p.prosrc, 'config', coalesce(p.proconfig, '{}'), 'strict', p.proisstrict,
            'definer', p.prosecdef, 'owned', pg_catalog.pg_has_role(p.proowner, 'USAGE'))), '[]')
     FROM ours p) AS functions,
  (SELECT coalesce(json_agg(json_build_object(
            'name', t.tgname, 'tableOid', c.oid::text, 'table', n.nspname || '.' || c.relname,
            'tableSqlName', pg_catalog.format('%I.%I', n.nspname, c.relname),
            'owner', pg_catalog.pg_get_userbyid(c.relowner),
            'owned', pg_catalog.pg_has_role(c.relowner, 'USAGE'),
            'functionName', p.proname, 'type', t.tgtype,
            'plain', t.tgattr = '' AND t.tgqual IS NULL AND t.tgnargs = 0 AND t.tgconstraint = 0 AND t.tgoldtable IS NULL
                     AND t.tgnewtable IS NOT DISTINCT FROM CASE WHEN t.tgtype & 1 = 0 THEN $5 END,
            'enabled', CASE t.tgenabled WHEN 'A' THEN 'always' WHEN 'O' THEN 'origin' WHEN 'R' THEN 'replica'
                                        ELSE 'disabled' END,
            'unfitPartitions', (
              SELECT count(*)
                FROM partitions
               WHERE partitions.root = c.oid AND NOT EXISTS (
                     SELECT FROM pg_catalog.pg_trigger clone
                      WHERE clone.tgrelid = partitions.relid AND clone.tgfoid = t.tgfoid AND clone.tgname = t.tgname
                        AND clone.tgenabled = 'A')))
            ORDER BY t.tgname), '[]')
     FROM pg_catalog.pg_trigger t
     JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN ours p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND t.tgparentid = 0
      AND (p.oid IS NOT NULL OR t.tgname = ANY ($6::text[]) AND t.tgrelid IN (SELECT oid FROM wanted))) AS triggers`

/** One query, whatever the number of tables; no rights are needed for it. */
export async function readInstalled(client: ClientBase, { schema, tables }: WantedCapture): Promise<Installed> {
  const names = (['insert', 'update', 'delete'] as const).map((operation) => triggerName(schema, operation))
  const { rows } = await client.query<Installed>(installedSql, [
    schema,
    tables.map((table) => table.schema),
    tables.map((table) => table.name),
    marker,
    transitionTable,
    names,
  ])
  const [installed] = rows
  return installed ?? { versionNum: 0, role: '', tables: [], functions: [], triggers: [] }
}
