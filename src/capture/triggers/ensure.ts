import { type ClientBase, escapeIdentifier } from 'pg'
import { SyncError } from '../../errors.js'
import { silentLogger } from '../../logger.js'
import type { CapturedTable, WantedCapture } from './captured-table.js'
import { readInstalled } from './installed.js'
import { keyTextChange, type Removal, removals, staleFunctions, type TableChange, tableChange } from './plan.js'
import { type LockedTable, type LockOptions, lockTable, untilLocked } from './under-lock.js'

/**
 * Makes the triggers what the mapping needs: functions without any lock, triggers where they are missing or different, and
 * drops those of tables that are not wanted. A table whose triggers were missing while it was captured before is marked for
 * a scan, in the same transaction. Safe to run twice, and from several processes at once. Needs a connection of its own,
 * outside of a transaction, and the side tables.
 *
 * Making a trigger waits for the transactions that write to the table, and lets no other begin; so it never waits for long,
 * but tries again.
 * @returns a sentence for each thing that was done.
 * @throws {SyncError} `TABLE_BUSY`; `DATABASE_UNFIT` where a right is missing; `TABLE_UNFIT`.
 */
export async function ensureTriggers(
  client: ClientBase,
  wanted: WantedCapture,
  options: Partial<LockOptions> = {},
): Promise<readonly string[]> {
  const given = { logger: silentLogger, ...options }
  const done: string[] = []
  done.push(...(await ensureKeyText(client, wanted, given)))
  for (const table of wanted.tables) done.push(...(await ensureTable(client, wanted, table, given)))
  done.push(...(await removeRest(client, wanted, given)))
  return done
}

const lockKey = ({ schema }: WantedCapture): string => `safetykit triggers ${schema}`

function ensureKeyText(client: ClientBase, wanted: WantedCapture, options: LockOptions): Promise<readonly string[]> {
  return untilLocked(
    client,
    lockKey(wanted),
    async () => {
      const change = keyTextChange(wanted, await readInstalled(client, wanted))
      if (change !== null) await client.query(change.sql)
      return []
    },
    options,
  )
}

async function ensureTable(
  client: ClientBase,
  wanted: WantedCapture,
  table: CapturedTable,
  options: LockOptions,
): Promise<readonly string[]> {
  const work = async (waitsFor: (table: LockedTable) => void): Promise<readonly string[]> => {
    const installed = await readInstalled(client, wanted)
    const change = tableChange(table, wanted, installed)
    if (change.table === undefined) throw new SyncError('TABLE_UNFIT', change.problems.join('; '))
    if (change.functionSql.length + change.triggerSql.length === 0) return []
    try {
      return await apply(client, wanted, change, waitsFor, options)
    } catch (error) {
      throw isMissingRight(error) ? notAllowed(error, change, installed.role) : error
    }
  }
  return untilLocked(client, lockKey(wanted), work, options)
}

async function apply(
  client: ClientBase,
  wanted: WantedCapture,
  { source, table, functionSql, triggerSql, gap }: TableChange,
  waitsFor: (table: LockedTable) => void,
  options: LockOptions,
): Promise<readonly string[]> {
  if (table === undefined) return []
  if (triggerSql.length === 0) {
    for (const sql of functionSql) await client.query(sql)
    return [`Replaced the trigger functions of ${source}`]
  }
  // Before the lock: it may take a moment.
  const mark = gap && (await isKnown(client, wanted.schema, source))
  const locked = { table: source, sqlName: table.sqlName, oid: table.oid }
  waitsFor(locked)
  await lockTable(client, locked, 'SHARE ROW EXCLUSIVE', options)
  for (const sql of [...functionSql, ...triggerSql]) await client.query(sql)
  if (!mark) return [`Made the triggers of ${source}`]
  await client.query(`INSERT INTO ${escapeIdentifier(wanted.schema)}.dirty (source, key) VALUES ($1, NULL)`, [source])
  return [`Made the triggers of ${source}`, `Marked ${source} for a scan: it may have changed while it had no triggers`]
}

async function isKnown(client: ClientBase, schema: string, source: string): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT EXISTS (SELECT FROM ${escapeIdentifier(schema)}.objects WHERE source = $1) AS known`,
    [source],
  )
  return rows[0]?.known === true
}

async function removeRest(client: ClientBase, wanted: WantedCapture, options: LockOptions): Promise<readonly string[]> {
  const done: string[] = []
  // One table a transaction: a lock is not to be held while another one is waited for.
  for (let removed = true; removed; ) {
    removed = await untilLocked(
      client,
      lockKey(wanted),
      async (waitsFor) => {
        const installed = await readInstalled(client, wanted)
        const [removal] = removals(wanted, installed)
        if (removal !== undefined) {
          done.push(await remove(client, removal, waitsFor, installed.role, options))
          return true
        }
        for (const name of staleFunctions(wanted, installed)) await client.query(dropFunctionSql(wanted.schema, name))
        return false
      },
      options,
    )
  }
  return done
}

async function remove(
  client: ClientBase,
  removal: Removal,
  waitsFor: (table: LockedTable) => void,
  role: string,
  options: LockOptions,
): Promise<string> {
  const { sqlName, table, triggers } = removal
  const drops = triggers.map((name) => `DROP TRIGGER ${escapeIdentifier(name)} ON ${sqlName}`)
  waitsFor(removal)
  try {
    await lockTable(client, removal, 'ACCESS EXCLUSIVE', options)
    for (const sql of drops) await client.query(sql)
  } catch (error) {
    throw isMissingRight(error) ? missingRight(error, removal, role, drops) : error
  }
  return `Dropped ${triggers.length === 1 ? 'the trigger' : 'the triggers'} ${triggers.join(', ')} of ${table}`
}

const dropFunctionSql = (schema: string, name: string): string =>
  `DROP FUNCTION ${escapeIdentifier(schema)}.${escapeIdentifier(name)}`

const isMissingRight = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '42501'

function notAllowed(cause: unknown, change: TableChange, role: string): SyncError {
  const { source: table, triggerSql, functionSql } = change
  const owner = change.table?.owner ?? ''
  return missingRight(cause, { table, owner, owned: change.table?.owned ?? false }, role, [
    ...functionSql.map((sql) => `${sql.split('(')[0]}…`),
    ...triggerSql,
  ])
}

function missingRight(
  cause: unknown,
  { table, owner, owned }: Pick<Removal, 'table' | 'owner' | 'owned'>,
  role: string,
  statements: readonly string[],
): SyncError {
  const reason = owned
    ? 'it has to own the functions in the schema of the side tables, and to be allowed to create there'
    : `it does not own the table (owner ${owner})`
  return new SyncError('DATABASE_UNFIT', `The role ${role} may not change the triggers of ${table}: ${reason}`, {
    hint: owned
      ? 'Run safetykit-sync migrate as the role that ran it first.'
      : `Run safetykit-sync migrate as ${owner}, or: GRANT ${escapeIdentifier(owner)} TO ${escapeIdentifier(role)}; it runs:\n${statements.join(';\n')};`,
    cause,
  })
}
