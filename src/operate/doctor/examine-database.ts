import { inspectServer } from '../../capture/replication/server.js'
import type { ResolvedSync } from '../../config/resolved.js'
import { schemaOf } from '../../pipeline/databases.js'
import { type DatabaseGiven, databaseChecks } from './database.js'
import { type Examination, from, Missing, together } from './examination.js'
import { ok } from './finding.js'
import { DatabaseLine } from './line.js'
import { findTables, mappingChecks, tablesCheck } from './mapping.js'
import { poolerCheck } from './pooler.js'
import { everyVersionCheck, publicationCheck, publicationRightsCheck, tablesInWalCheck } from './publication.js'
import { replicationConnectionCheck } from './replication-connection.js'
import { ledgerRightsCheck, lookAtLedgerRights, migrationRightsCheck, readingCheck } from './rights.js'
import { serverChecks } from './server.js'
import type { DoctorSettings } from './settings.js'
import { findSideTables, sideTablesCheck, workChecks } from './side-tables.js'
import { slotChecks } from './slot.js'
import type { Tables } from './tables.js'
import { leftoverSlotCheck, triggerOwnershipCheck, triggersCheck } from './triggers.js'

export interface DatabaseExamination extends Omit<DatabaseGiven, 'client'> {
  readonly examination: Examination
  readonly settings: Pick<DoctorSettings, 'databaseUrl'>
  readonly resolved: ResolvedSync | Missing
  readonly timeoutMs: number
}

interface Opened {
  readonly line: DatabaseLine
  readonly databaseUrl: string
}

/** Everything that is looked at through the database. */
export async function examineDatabase(options: DatabaseExamination): Promise<void> {
  const { examination, settings, resolved, timeoutMs } = options
  const check = { check: 'connection', why: 'Nothing can be read, captured or recorded without it.' }
  const opened = await examination.learn('database', check, {}, () => open(settings.databaseUrl(), timeoutMs))
  const line = opened instanceof Missing ? undefined : opened.line
  try {
    const database = from(opened, ({ line: { client } }) => ({ ...options, client }))
    await examination.examine('database', databaseChecks, database, line)
    const pooled = from(opened, (one) => ({ ...one, timeoutMs }))
    await examination.examine('database', [poolerCheck], pooled, line)
    const tables = await examination.learn(
      'mapping',
      tablesCheck,
      together(opened, resolved),
      ([
        {
          line: { client },
          databaseUrl,
        },
        sync,
      ]) => findTables(client, sync, schemaOf(databaseUrl)),
      line,
    )
    await examination.examine('mapping', [...mappingChecks, readingCheck], tables, line)
    await examineCapture(options, opened, tables)
    await examineSideTables(options, opened)
  } finally {
    await line?.close()
  }
}

async function open(databaseUrl: string, timeoutMs: number, setting?: string) {
  const line = await DatabaseLine.open(databaseUrl, timeoutMs, setting)
  const { rows } = await line.client.query<{ role: string }>('SELECT current_user AS role')
  return { verdicts: ok(`${line.address} as ${rows[0]?.role}`), value: { line, databaseUrl } }
}

async function examineCapture(
  { examination, resolved, timeoutMs }: DatabaseExamination,
  opened: Opened | Missing,
  tables: Tables | Missing,
): Promise<void> {
  if (resolved instanceof Missing) return
  const line = opened instanceof Missing ? undefined : opened.line
  if (resolved.capture !== 'replication') {
    const capturing = resolved.capture === 'trigger' ? [triggersCheck, triggerOwnershipCheck] : []
    return examination.examine('capture', [...capturing, leftoverSlotCheck], tables, line)
  }
  const check = { check: 'server', why: 'What the server can do for replication has to be known first.' }
  const server = await examination.learn(
    'capture',
    check,
    opened,
    async ({ line: { client } }) => {
      const state = await inspectServer(client, resolved.slot.name)
      const value = { client, resolved, state }
      return { verdicts: ok(`asked about the slot "${resolved.slot.name}"`), value }
    },
    line,
  )
  await examination.examine('capture', serverChecks, server, line)
  const connecting = from(together(server, opened), ([one, { databaseUrl }]) => ({ ...one, databaseUrl, timeoutMs }))
  await examination.examine('capture', [replicationConnectionCheck], connecting, line)
  const published = from(together(tables, server), ([mapped, one]) => ({ ...mapped, ...one }))
  await examination.examine('capture', [tablesInWalCheck, everyVersionCheck], published, line)
  // A table that is published and does not fit would be taken for one that nobody maps.
  const whole = from(published, (one) => (one.complete ? one : new Missing('not every mapped table fits ("tables")')))
  await examination.examine('capture', [publicationCheck, publicationRightsCheck], whole, line)
  await examination.examine('capture', slotChecks, server, line)
}

async function examineSideTables(
  { examination, resolved, timeoutMs }: DatabaseExamination,
  opened: Opened | Missing,
): Promise<void> {
  const url = resolved instanceof Missing ? null : resolved.ledgerUrl
  const check = { check: 'side-tables-connection', why: 'They stand in a database of their own (ledgerUrl).' }
  const connect = (ledgerUrl: string) => () => open(ledgerUrl, timeoutMs, 'ledgerUrl')
  const ledger = url === null ? opened : await examination.learn('side tables', check, {}, connect(url))
  const line = ledger instanceof Missing ? undefined : ledger.line
  try {
    const place = from(together(ledger, resolved), ([{ line: one }, sync]) => ({ client: one.client, resolved: sync }))
    const allowed = await examination.learn('side tables', ledgerRightsCheck, place, lookAtLedgerRights, line)
    const found = await examination.learn('side tables', sideTablesCheck, allowed, findSideTables, line)
    await examination.examine('side tables', [migrationRightsCheck], found, line)
    const current = from(found, (one) => (one.current ? one : new Missing('"side-tables" failed')))
    await examination.examine('side tables', workChecks, current, line)
  } finally {
    if (url !== null) await line?.close()
  }
}
