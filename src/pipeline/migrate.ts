import { type ClientBase, escapeIdentifier, escapeLiteral } from 'pg'
import { untilWritersEnd } from '../capture/replication/open-writers.js'
import { ensurePublication, unpublishedTables } from '../capture/replication/publication.js'
import { tableSql, type WantedPublication } from '../capture/replication/publication-plan.js'
import { checkServer } from '../capture/replication/server.js'
import { createSlot, inspectSlot } from '../capture/replication/slot.js'
import { ensureTriggers } from '../capture/triggers/ensure.js'
import type { ResolvedSync } from '../config/resolved.js'
import { GapNotes } from '../ledger/gap-notes.js'
import { Ledger } from '../ledger/ledger.js'
import { migrateLedger } from '../ledger/migrate.js'
import type { Queryable } from '../ledger/postgres.js'
import { type Logger, silentLogger } from '../logger.js'
import type { BoundTable } from '../mapping/bind.js'
import { type Databases, openDatabases } from './databases.js'
import { ackMark } from './replication/ack-mark.js'
import { type Source, Sources } from './sources.js'
import { wantedCapture } from './triggers.js'

/** How long the transactions that are open may take before a table that was just published is marked. */
const writersWaitMs = 60_000

export interface MigrateOptions {
  readonly resolved: ResolvedSync
  readonly databaseUrl: string
  readonly logger?: Logger
}

/**
 * Makes what the configuration needs in the database: the side tables, and for capture by triggers those, for capture by
 * replication the publication, then the slot. Triggers that are not needed any more are dropped; a slot is left alone, but
 * told of. Does nothing where all is there; safe to run from several processes at once.
 * @returns a sentence for each thing that was made or changed.
 */
export async function migrate(options: MigrateOptions): Promise<{ readonly done: readonly string[] }> {
  const { resolved, databaseUrl, logger = silentLogger } = options
  const databases = openDatabases({ databaseUrl, resolved, logger })
  try {
    const { source: db, defaultSchema } = databases
    // Whatever does not fit is told before anything is made.
    const sources = await Sources.open({ db, resolved, defaultSchema, logger })
    const tables = sources.all.map((source) => source.bound)
    if (resolved.capture === 'replication') {
      await withClient(databases.source, (client) => checkServer(client, resolved.slot.name))
    }
    const done: string[] = []
    await withClient(databases.ledger, async (client) => {
      for (const name of await migrateLedger(client, resolved.schema)) {
        done.push(`Made the ${name} in the schema ${resolved.schema}`)
      }
    })
    await withClient(databases.source, async (client) => {
      if (resolved.capture === 'replication') {
        const slotIsMissing = (await inspectSlot(client, resolved.slot.name)) === null
        const wanted = wantedPublication(resolved, tables)
        const missed = slotIsMissing ? wanted.tables : await unpublishedTables(client, wanted)
        const notes = new GapNotes({ ledger: databases.ledger, schema: resolved.schema })
        const noted = await notes.read()
        const gaps = sources.all.filter(
          ({ name: source, bound: { table } }) =>
            noted.includes(source) || missed.some(({ schema, name }) => schema === table.schema && name === table.name),
        )
        // First of all: whoever dies in between leaves a note and a mark too many rather than a gap.
        const names = gaps.map(({ name }) => name)
        await notes.write(names)
        done.push(...(await markGap(databases.ledger, resolved.schema, gaps)))
        for (const sql of await ensurePublication(client, wanted)) done.push(`Ran: ${sql}`)
        // A sidecar that runs may have scanned a table already, before it was published. A new slot begins late enough.
        let haveEnded = true
        if (gaps.length > 0 && !slotIsMissing) {
          haveEnded = await waitForWriters(client, gaps, logger)
          await markGap(databases.ledger, resolved.schema, gaps)
        }
        if (await createSlot(client, resolved.slot.name)) {
          await markConfirmed(client, { databases, resolved })
          done.push(`Made the replication slot ${resolved.slot.name}`)
        }
        if (haveEnded) await notes.remove(names)
      } else {
        await tellOfSlot(client, resolved, logger)
      }
      // After the slot: what is written in between is captured twice rather than not at all.
      const triggers = wantedCapture(resolved.schema, resolved.capture === 'trigger' ? tables : [])
      done.push(...(await ensureTriggers(client, triggers, { logger })))
    })
    return { done }
  } finally {
    await databases.close()
  }
}

/**
 * What was written while nothing captured is found by a scan: of the tables that anything was ever sent of. Where nothing
 * was, a backfill is to be asked for.
 */
async function markGap(ledger: Queryable, schema: string, sources: readonly Source[]): Promise<readonly string[]> {
  const quoted = escapeIdentifier(schema)
  const { rows } = await ledger.query(
    `INSERT INTO ${quoted}.dirty (source)
     SELECT name FROM unnest($1::text[], $2::text[]) AS t (name, renamed) WHERE EXISTS (
       SELECT FROM ${quoted}.objects AS o WHERE o.namespace = ANY ($3::text[]) AND o.source IN (t.name, t.renamed))
     RETURNING source`,
    [
      sources.map(({ name }) => name),
      sources.map(({ bound }) => bound.source),
      sources.flatMap(({ targets }) => targets.map(({ mapping }) => mapping.namespace)),
    ],
  )
  return rows.map(({ source }) => `Marked ${String(source)} for a scan: changes may have been missed`)
}

/** @returns whether all have ended. */
async function waitForWriters(client: ClientBase, sources: readonly Source[], logger: Logger): Promise<boolean> {
  const tables = sources.map(({ bound }) => bound.table)
  const fields = { tables: tables.map(tableSql) }
  const haveEnded = await untilWritersEnd(client, tables, {
    timeoutMs: writersWaitMs,
    // The command would look as if it hung, and be ended.
    onWait: () =>
      logger.warn('Waiting for transactions that wrote before their tables were published, for up to a minute', fields),
  })
  if (haveEnded) return true
  logger.warn(
    'Transactions that wrote before their tables were published are still open: what they wrote may be missed',
    {
      ...fields,
      hint: 'Once they have ended: safetykit-sync migrate again, so that a scan finds it; or, of a table that was never sent, safetykit-sync backfill.',
    },
  )
  return false
}

/** Where a new slot begins: so that it is not taken for one that someone else has moved. */
async function markConfirmed(
  client: ClientBase,
  { databases, resolved }: { readonly databases: Pick<Databases, 'ledger'>; readonly resolved: ResolvedSync },
): Promise<void> {
  const confirmed = (await inspectSlot(client, resolved.slot.name))?.confirmedFlushLsn
  const ledger = new Ledger({ pool: databases.ledger, schema: resolved.schema })
  if (confirmed != null) await ledger.setHorizon(ackMark(resolved.slot.name), confirmed)
}

/** Marks tables as a whole: a scan finds what was missed. */
export async function markTables(ledger: Queryable, schema: string, sources: readonly string[]): Promise<void> {
  await ledger.query(`INSERT INTO ${escapeIdentifier(schema)}.dirty (source) SELECT unnest($1::text[])`, [sources])
}

/** A slot that nobody reads keeps WAL until the disk is full. Whether it can go, only a person knows. */
async function tellOfSlot(client: ClientBase, { slot, publication }: ResolvedSync, logger: Logger): Promise<void> {
  const state = await inspectSlot(client, slot.name)
  const { rows } = await client.query<{ name: string }>('SELECT pg_catalog.current_database() AS name')
  if (state === null || state.database !== rows[0]?.name || state.plugin !== 'pgoutput') return
  logger.warn('The replication slot of an earlier capture by replication is still there, and keeps WAL', {
    slot: slot.name,
    retainedBytes: state.retainedBytes,
    hint: `If no sidecar needs it any more: SELECT pg_drop_replication_slot(${escapeLiteral(slot.name)}); DROP PUBLICATION IF EXISTS ${escapeIdentifier(publication.name)};`,
  })
}

/** The tables, and under `columns: 'mapped'` the columns, that have to be published. */
export function wantedPublication(resolved: ResolvedSync, tables: readonly BoundTable[]): WantedPublication {
  const { name, columns } = resolved.publication
  return {
    name,
    tables: tables.map(({ table, readColumns }) => ({
      schema: table.schema,
      name: table.name,
      columns: columns === 'mapped' ? readColumns : null,
    })),
  }
}

/** A connection of one's own: session state and transactions do not mix with a pool. */
export async function withClient<T>(
  pool: { connect(): Promise<ClientBase & { release(error?: Error | boolean): void }> },
  work: (client: ClientBase) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  let failed = true
  try {
    const result = await work(client)
    failed = false
    return result
  } finally {
    client.release(failed)
  }
}
