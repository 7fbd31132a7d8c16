import pg, { type ClientBase } from 'pg'
import type { ResolvedSync } from '../config/resolved.js'
import { checkLedger } from '../ledger/migrate.js'
import { type NamespaceReport, readObjectCounts } from './object-counts.js'
import { type Problem, readProblems } from './problems.js'
import { type ProcessReport, readProcesses } from './processes.js'
import { type RefusedObject, type RefusedReport, readRefused, readRefusedObjects } from './refused.js'
import { type RequestReport, readRequests } from './requests.js'
import { readSlot, type SlotReport } from './slot-report.js'
import { type DirtyReport, readDirty } from './waiting.js'
import { readWork, type WorkReport } from './workers.js'

export type { Count } from './count.js'
export type { NamespaceReport } from './object-counts.js'
export type { Problem } from './problems.js'
export type { ProcessReport } from './processes.js'
export type { RefusedObject, RefusedReport } from './refused.js'
export type { RequestReport } from './requests.js'
export type { LagBasis, SlotReport } from './slot-report.js'
export type { DirtyReport, DirtySource } from './waiting.js'
export type { ScanReport, WorkReport } from './workers.js'

/** How a sync stands, as `safetykit-sync status --json` prints it. Names are only ever added. */
export interface StatusReport {
  /** When it was read, ISO 8601. */
  readonly at: string
  /** `null` where capture is not by replication. */
  readonly slot: SlotReport | null
  readonly objects: readonly NamespaceReport[]
  readonly requests: readonly RequestReport[]
  readonly dirty: DirtyReport
  readonly work: WorkReport
  /** Those that deliver, or did lately and have not ended in order. */
  readonly processes: readonly ProcessReport[]
  /** What no longer fits, or does not yet; empty where all does. */
  readonly problems: readonly Problem[]
  readonly refused: RefusedReport
  /** The last refused objects, ten at most, the newest first. */
  readonly lastErrors: readonly RefusedObject[]
}

export interface ReadStatusOptions {
  readonly resolved: ResolvedSync
  /** A connection to the mapped tables' database. */
  readonly source: ClientBase
  /** A connection to the side tables' database; the same where that is one. */
  readonly ledger: ClientBase
  /** The schema of tables that are named without one. Default: `'public'`. */
  readonly defaultSchema?: string
}

/**
 * Reads how a sync stands, with or without a sidecar running. Changes nothing, and takes no lock but a reader's.
 * @throws {SyncError} `SCHEMA_OUTDATED` or `SCHEMA_NEWER` where the side tables are not those of this version.
 */
export async function readStatus(options: ReadStatusOptions): Promise<StatusReport> {
  const { resolved, source, ledger, defaultSchema = 'public' } = options
  await checkLedger(ledger, resolved.schema)
  const problems = await readProblems({ resolved, source, defaultSchema })
  const schema = pg.escapeIdentifier(resolved.schema)
  const slot = resolved.capture === 'replication' ? await readSlot(source, resolved.slot.name, ledger, schema) : null
  // One snapshot, so that the counts fit together while a sidecar writes.
  await ledger.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  try {
    return {
      at: new Date().toISOString(),
      slot,
      objects: await readObjectCounts(ledger, schema, namespacesOf(resolved)),
      requests: await readRequests(ledger, schema),
      dirty: await readDirty(ledger, schema),
      work: await readWork(ledger, schema),
      processes: await readProcesses(ledger, schema, resolved.heartbeat.everyMs ?? heartbeatMs),
      problems,
      refused: await readRefused(ledger, schema),
      lastErrors: await readRefusedObjects(ledger, schema),
    }
  } finally {
    await ledger.query('ROLLBACK')
  }
}

/** Where the settings have none, processes beat so often. */
const heartbeatMs = 15_000

const namespacesOf = ({ mappings }: ResolvedSync): string[] => [...new Set(mappings.map(({ namespace }) => namespace))]
