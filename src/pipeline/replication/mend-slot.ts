import { type ClientBase, escapeLiteral } from 'pg'
import { ensurePublication } from '../../capture/replication/publication.js'
import { createSlot, dropSlot, inspectSlot, slotProblem } from '../../capture/replication/slot.js'
import type { ResolvedSync } from '../../config/resolved.js'
import { SyncError } from '../../errors.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { Logger } from '../../logger.js'
import { formatLsn, type Lsn } from '../../lsn.js'
import type { Databases } from '../databases.js'
import { markTables, wantedPublication, withClient } from '../migrate.js'
import type { Sources } from '../sources.js'
import { ackMark } from './ack-mark.js'

/** Slots whose changes are gone. */
const lost = new Set(['SLOT_MISSING', 'SLOT_LOST', 'SLOT_REPLACED'])

export const isLost = ({ code }: SyncError): boolean => lost.has(code)

interface MendOptions {
  readonly databases: Pick<Databases, 'source' | 'ledger'>
  readonly resolved: ResolvedSync
  readonly sources: Sources
  readonly ledger: Pick<Ledger, 'setHorizon'>
  readonly signal: AbortSignal
  readonly logger: Logger
}

/**
 * Makes a slot that is lost anew, in the order in which a process that dies at any point leaves a mark too many rather than
 * a gap: the publication (a slot that is older cannot be read), the marks of all tables, the slot, and where it begins.
 * @returns where the slot begins; `null` where another process was quicker.
 */
export async function mendSlot(options: MendOptions, cause: SyncError): Promise<Lsn | null> {
  const { databases, resolved, signal, logger } = options
  const name = resolved.slot.name
  logger.error('The replication slot is lost; it is made anew, and all mapped tables are scanned for what was missed', {
    slot: name,
    code: cause.code,
    reason: cause.message,
  })
  return await withClient(databases.source, async (client) => {
    const { rows } = await client.query<{ pid: number; database: string }>(
      'SELECT pg_catalog.pg_backend_pid() AS pid, pg_catalog.current_database() AS database',
    )
    const [own] = rows
    // A slot begins after the transactions that run, which can take long: who stops does not wait for that.
    const cancel = (): void => {
      databases.source.query('SELECT pg_catalog.pg_cancel_backend($1)', [own?.pid]).catch(() => {})
    }
    signal.addEventListener('abort', cancel, { once: true })
    // One at a time: a standby finds the same slot lost.
    const lock = `pg_catalog.hashtextextended(${escapeLiteral(`safetykit slot ${name}`)}, 0)`
    try {
      await client.query(`SELECT pg_catalog.pg_advisory_lock(${lock})`)
      signal.throwIfAborted()
      return await mend(client, options, { cause, database: own?.database ?? '' })
    } finally {
      signal.removeEventListener('abort', cancel)
      await client.query(`SELECT pg_catalog.pg_advisory_unlock(${lock})`).catch(() => {})
    }
  })
}

async function mend(
  client: ClientBase,
  { databases, resolved, sources, ledger, logger }: MendOptions,
  { cause, database }: { readonly cause: SyncError; readonly database: string },
): Promise<Lsn | null> {
  const name = resolved.slot.name
  const problem = slotProblem(name, await inspectSlot(client, name), database)
  const isFit = problem === null || problem.code === 'SLOT_IN_USE'
  // Only who reads a slot finds that it is older than its publication.
  const isUnreadable = cause.code === 'SLOT_LOST'
  if (isFit && cause.code === 'SLOT_MISSING') return null
  if (!isFit && !isLost(problem)) throw problem
  const tables = sources.all.map(({ bound }) => bound)
  const done = await ensurePublication(client, wantedPublication(resolved, tables))
  const all = sources.all.map((source) => source.name)
  await markTables(databases.ledger, resolved.schema, all)
  if (isUnreadable || problem?.code === 'SLOT_LOST') await dropSlot(client, name)
  if (isUnreadable || !isFit) await createSlot(client, name)
  const confirmed = (await inspectSlot(client, name))?.confirmedFlushLsn
  if (confirmed == null)
    throw new SyncError('SLOT_MISSING', `The replication slot "${name}" is gone again`, { retryable: true })
  await ledger.setHorizon(ackMark(name), confirmed)
  logger.warn('The replication slot is there again', {
    slot: name,
    from: formatLsn(confirmed),
    publication: done,
    scans: all,
  })
  return confirmed
}
