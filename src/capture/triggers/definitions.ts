import { escapeIdentifier, escapeLiteral } from 'pg'
import type { CapturedTable, WantedCapture } from './captured-table.js'
import {
  deletedRowBody,
  insertedRowBody,
  insertedRowsBody,
  keyTextBody,
  transitionTable,
  updatedRowBody,
} from './function-bodies.js'
import { keyTextName } from './key-sql.js'
import { functionName, type Operation, triggerName } from './object-names.js'

/** A function as it is wanted; `config` as `pg_proc.proconfig` has it. */
export interface WantedFunction {
  readonly name: string
  readonly body: string
  readonly config: readonly string[]
  readonly strict: boolean
  readonly sql: string
}

export interface WantedTrigger {
  readonly name: string
  readonly operation: Operation
  readonly functionName: string
  /** Else for each statement, with the inserted rows as a transition table. */
  readonly forEachRow: boolean
}

/** In a function's comment; functions that have no such one are not ours. */
export const marker = 'prisma-extension-safetykit: '

/** The functions and triggers of a table. `byRow`: its rows also arrive otherwise than by statements on it. */
export function definitionsOf(
  table: CapturedTable,
  { schema, byRow }: { readonly schema: string; readonly byRow: boolean },
): { readonly functions: readonly WantedFunction[]; readonly triggers: readonly WantedTrigger[] } {
  const bodies: readonly (readonly [Operation, body: string])[] = [
    ['insert', byRow ? insertedRowBody(table, schema) : insertedRowsBody(table, schema)],
    ['update', updatedRowBody(table, schema)],
    ...(table.tombstone ? [['delete', deletedRowBody(table, schema)] as const] : []),
  ]
  return {
    functions: bodies.map(([operation, body]) =>
      triggerFunction(schema, functionName(table.source, operation), table.source, body),
    ),
    triggers: bodies.map(([operation]) => ({
      name: triggerName(schema, operation),
      operation,
      functionName: functionName(table.source, operation),
      forEachRow: operation !== 'insert' || byRow,
    })),
  }
}

// No `REVOKE … FROM PUBLIC`: who makes a partition has to be allowed to execute what is cloned onto it.
function triggerFunction(schema: string, name: string, source: string, body: string): WantedFunction {
  const sqlName = `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`
  const sql = `CREATE OR REPLACE FUNCTION ${sqlName}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
AS ${escapeLiteral(body)};
COMMENT ON FUNCTION ${sqlName}() IS ${escapeLiteral(`${marker}captures ${source}`)}`
  return { name, body, config: [], strict: false, sql }
}

/** Writes one value as a session of ours would. */
export function keyTextFunction({ schema, sessionSettings }: WantedCapture): WantedFunction {
  const sqlName = `${escapeIdentifier(schema)}.${keyTextName}(anyelement)`
  const settings = sessionSettings.map(([name, value]) => `SET ${name} = ${escapeLiteral(value)}`).join(' ')
  const sql = `CREATE OR REPLACE FUNCTION ${sqlName} RETURNS text LANGUAGE plpgsql STABLE STRICT ${settings}
AS ${escapeLiteral(keyTextBody)};
COMMENT ON FUNCTION ${sqlName} IS ${escapeLiteral(`${marker}writes the values of keys`)}`
  const config = sessionSettings.map(([name, value]) => `${name}=${value}`)
  return { name: keyTextName, body: keyTextBody, config, strict: true, sql }
}

/**
 * `ENABLE ALWAYS`, so that what a session writes with `session_replication_role = replica`, and what a subscription
 * applies, is captured too.
 * @param replacing whether a trigger of that name is there.
 */
export function triggerSql(
  table: string,
  trigger: WantedTrigger,
  {
    schema,
    replacing,
    versionNum,
  }: { readonly schema: string; readonly replacing: boolean; readonly versionNum: number },
): readonly string[] {
  const name = escapeIdentifier(trigger.name)
  // PostgreSQL 13 cannot replace a trigger, and dropping one also keeps readers out.
  const replaces = replacing && versionNum >= 140_000
  return [
    ...(replacing && !replaces ? [`DROP TRIGGER ${name} ON ${table}`] : []),
    `CREATE ${replaces ? 'OR REPLACE ' : ''}TRIGGER ${name} AFTER ${trigger.operation.toUpperCase()} ON ${table} ` +
      (trigger.forEachRow ? 'FOR EACH ROW' : `REFERENCING NEW TABLE AS ${transitionTable} FOR EACH STATEMENT`) +
      ` EXECUTE FUNCTION ${escapeIdentifier(schema)}.${escapeIdentifier(trigger.functionName)}()`,
    enableSql(table, trigger.name),
  ]
}

export const enableSql = (table: string, trigger: string): string =>
  `ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${escapeIdentifier(trigger)}`
