import { createHash } from 'node:crypto'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { escapeIdentifier } from 'pg'
import { backoffMs } from '../../backoff.js'
import { databaseAddress, mayPass } from '../../database-errors.js'
import type { ObjectStorage } from '../../delivery/import/storage.js'
import { BackfillStore } from '../../ledger/backfills.js'
import { Comparison } from '../../ledger/comparison.js'
import { ImportRecording } from '../../ledger/imports.js'
import { LeaseStore } from '../../ledger/leases.js'
import { ScanStore } from '../../ledger/scans.js'
import type { Parts } from '../engine.js'
import { rowsReader } from '../read-rows.js'
import { until, untilSettled } from '../scan/until-settled.js'
import { selectSources } from '../selected-sources.js'
import type { Source } from '../sources.js'
import type { BackfillCursor } from './cursor.js'
import { takeBackfillLease } from './lease.js'
import type { BackfilledTable, BackfillReport, BackfillRequest } from './report.js'
import { TableBackfill } from './table-backfill.js'
import { Tally } from './tally.js'

export interface BackfillOptions {
  readonly parts: Parts
  readonly storage: ObjectStorage
  /** Where files stand until they are recorded. */
  readonly spoolDirectory: string
  readonly onKeys: () => void
}

const retryBounds = { baseMs: 500, maxMs: 30_000 }
/** So many attempts may fail in a row without getting on. */
const maxFailures = 20

/** Brings in what exists: each table from where the last backfill came to, one after the other. */
export class Backfill {
  readonly #options: BackfillOptions
  readonly #store: BackfillStore<BackfillCursor>
  readonly #scans: ScanStore

  constructor(options: BackfillOptions) {
    const { databases, resolved } = options.parts
    const side = { pool: databases.ledger, schema: resolved.schema }
    this.#options = options
    this.#store = new BackfillStore(side)
    this.#scans = new ScanStore(side)
  }

  async run(request: BackfillRequest): Promise<BackfillReport> {
    const { signal: stopped } = this.#options.parts
    const signal = request.signal === undefined ? stopped : AbortSignal.any([request.signal, stopped])
    const tables: BackfilledTable[] = []
    for (const source of selectSources(this.#options.parts.sources, request)) {
      tables.push(await this.#table(source, { ...request, signal }))
    }
    return { tables }
  }

  async #table(source: Source, request: BackfillRequest & { readonly signal: AbortSignal }): Promise<BackfilledTable> {
    const { logger } = this.#options.parts
    const { signal } = request
    const estimatedRows = await this.#estimate(source, request.where)
    const tally = new Tally({ source: source.name, estimatedRows, onProgress: request.onProgress })
    let before = tally.table
    for (let failures = 0; ; ) {
      try {
        await this.#attempt(source, request, tally)
        break
      } catch (error) {
        signal.throwIfAborted()
        if (JSON.stringify(before) !== JSON.stringify(tally.table)) failures = 0
        before = tally.table
        if (!mayPass(error) || failures === maxFailures) throw error
        const delayMs = backoffMs(failures, retryBounds, Math.random)
        logger.warn('The backfill of a table was interrupted, trying again', { source: source.name, error, delayMs })
        failures += 1
        await sleep(delayMs, undefined, { signal, ref: false })
      }
    }
    tally.enter('delivering')
    const { queued, imported } = tally.table
    if (queued + imported > 0) await this.#untilDelivered(source.name, tally, signal)
    tally.enter('done')
    return tally.table
  }

  async #attempt(
    source: Source,
    request: BackfillRequest & { readonly signal: AbortSignal },
    tally: Tally,
  ): Promise<void> {
    const { parts, storage, onKeys } = this.#options
    const { databases, resolved, sources } = parts
    const side = { pool: databases.ledger, schema: resolved.schema }
    tally.enter('waiting')
    const lease = await takeBackfillLease(new LeaseStore(side), { source: source.name, signal: request.signal })
    const signal = AbortSignal.any([request.signal, lease.lost])
    try {
      await untilSettled(this.#scans, source.name, signal)
      await TableBackfill.run({
        parts,
        storage,
        store: this.#store,
        recording: new ImportRecording(side),
        comparison: new Comparison(side),
        readRows: rowsReader({ db: databases.source, sources }),
        spoolDirectory: this.#spoolOf(source.name),
        source,
        request,
        tally,
        signal,
        onKeys,
      })
    } catch (error) {
      throw lease.lost.aborted ? lease.lost.reason : error
    } finally {
      await lease.release()
    }
  }

  /** Until the keys that it has left are delivered. */
  async #untilDelivered(source: string, tally: Tally, signal: AbortSignal): Promise<void> {
    const newest = await this.#scans.newestKey(source)
    if (newest === null) return
    await until(async () => {
      const waiting = await this.#store.waiting(source, newest)
      tally.waits(waiting)
      return waiting === 0
    }, signal)
  }

  /** As the planner has it: to count would take as long as a part of the walk. */
  async #estimate({ bound }: Source, where: string | undefined): Promise<number | null> {
    if (where !== undefined) return null
    const { schema, name } = bound.rowTable
    const { rows } = await this.#options.parts.databases.source.query<{ 'QUERY PLAN': readonly Plan[] }>(
      `EXPLAIN (FORMAT JSON) SELECT FROM ${escapeIdentifier(schema)}.${escapeIdentifier(name)}`,
    )
    return rows[0]?.['QUERY PLAN'][0]?.Plan['Plan Rows'] ?? null
  }

  /** A folder for each table of each database. */
  #spoolOf(source: string): string {
    const { databaseUrl, resolved } = this.#options.parts
    const name = createHash('sha256')
      .update(`${databaseAddress(databaseUrl)}\n${resolved.schema}\n${source}`)
      .digest('hex')
    return path.join(this.#options.spoolDirectory, name.slice(0, 16))
  }
}

interface Plan {
  readonly Plan: { readonly 'Plan Rows': number }
}
