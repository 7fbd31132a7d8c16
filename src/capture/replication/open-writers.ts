import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientBase } from 'pg'
import { partitionTree } from '../../partition-tree.js'
import { type TableName, tableSql } from './publication-plan.js'

const pollMs = 100

/**
 * Waits for the transactions that have written to these tables by now. What they wrote before a table was published is not
 * in the stream, also where they commit after that, and only then can it be read.
 * @returns whether all have ended in time.
 */
export async function untilWritersEnd(
  client: ClientBase,
  tables: readonly TableName[],
  { timeoutMs, onWait }: { readonly timeoutMs: number; readonly onWait?: () => void },
): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs
  let writers = await writersOf(client, tables)
  if (writers.length > 0) onWait?.()
  while (writers.length > 0) {
    if (performance.now() > deadlineMs) return false
    await sleep(pollMs)
    const now = await writersOf(client, tables)
    writers = writers.filter((writer) => now.includes(writer))
  }
  return true
}

/** By what they have locked: partitions are written to directly as well. */
async function writersOf(client: ClientBase, tables: readonly TableName[]): Promise<readonly string[]> {
  const { rows } = await client.query<{ writer: string }>(
    `SELECT DISTINCT virtualtransaction AS writer FROM pg_catalog.pg_locks
     WHERE locktype = 'relation' AND granted AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
       AND relation IN (
         SELECT relid FROM ${partitionTree('SELECT name::regclass FROM unnest($1::text[]) AS name')} AS tree)`,
    [tables.map(tableSql)],
  )
  return rows.map(({ writer }) => writer)
}
