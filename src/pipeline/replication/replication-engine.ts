import { setTimeout as sleep } from 'node:timers/promises'
import { openWalStream, type WalStream } from '../../capture/replication/wal-stream.js'
import type { DispatchCounts, Dispatcher } from '../../delivery/dispatch.js'
import type { Arrival, Ticket } from '../../delivery/ports.js'
import type { SyncError } from '../../errors.js'
import { partitions } from '../../ledger/leases.js'
import { sessionSettingsSql } from '../../mapping/session.js'
import { DirtyKeys } from '../dirty-keys.js'
import { aborted, type Engine, openDispatcher, type Parts } from '../engine.js'
import { ParkedObjects } from '../parked-objects.js'
import { followRequests } from '../results.js'
import { Scanner } from '../scan/scanner.js'
import { walPosition } from '../wal-position.js'
import { Doubts } from './doubts.js'
import { untilSlotIsFree } from './standby.js'
import { WalChanges } from './wal-changes.js'

/** Between two looks whether the WAL is settled as far as a scan needs it. */
const settledPollMs = 100

const allPartitions = { partitions: Array.from({ length: partitions }, (_, number) => number), wanting: false }

/** Changes from the WAL. Whoever reads from the slot is alone, and so works all the keys in `dirty` as well. */
export class ReplicationEngine implements Engine {
  readonly #parts: Parts
  readonly #dispatcher: Dispatcher
  #stream: WalStream | null = null
  #doubts: Doubts | null = null
  #dirty: DirtyKeys | null = null
  #paused = false

  constructor(parts: Parts) {
    this.#parts = parts
    this.#dispatcher = openDispatcher(parts, {
      beforeSend: (lsn) => this.#doubts?.stream.cover(lsn) ?? null,
      onPendingBytes: (bytes) => this.#regulate(bytes),
    })
  }

  get counts(): DispatchCounts {
    return this.#dispatcher.counts
  }

  wake(): void {
    this.#dirty?.wake()
  }

  /** The slot is one process' own for as long as it runs. */
  async rest(): Promise<void> {}

  abandon(): void {
    this.#dispatcher.abandon()
  }

  async run(): Promise<void> {
    const { resolved, databaseUrl, sources, ledger, databases, logger, signal } = this.#parts
    await untilSlotIsFree({ db: databases.source, slot: resolved.slot.name, signal, logger })
    if (signal.aborted) return
    const doubts = await Doubts.open({ databases, ledger, resolved, logger })
    this.#doubts = doubts
    const arrive = (arrival: Arrival): void => this.#dispatcher.arrive(arrival)
    const markTable = (source: string, ticket: Ticket): void => this.#dispatcher.markTable(source, ticket)
    const changes = new WalChanges({ sources, arrive, markTable, replayedThrough: doubts.changesThrough, logger })
    const stream = openWalStream({
      connection: { connectionString: databaseUrl, application_name: 'safetykit-sync' },
      slot: resolved.slot.name,
      publication: resolved.publication.name,
      sessionSettings: sessionSettingsSql,
      consumer: changes,
      logger,
    })
    this.#stream = stream
    stream.done.catch((error: SyncError) => this.#parts.fail(error))
    const dirty = new DirtyKeys({
      pool: databases.ledger,
      schema: resolved.schema,
      sources,
      doubts,
      attend: async () => allPartitions,
      arrive,
      markTable,
      logger,
    })
    this.#dirty = dirty
    const parked = new ParkedObjects({ ledger, sources, onDue: () => dirty.wake(), logger })
    const scanner = new Scanner({
      db: databases.source,
      ledger: databases.ledger,
      schema: resolved.schema,
      sources,
      // Whoever reads from the slot is alone.
      lease: { acquire: async () => true, holds: () => true, release: async () => {} },
      before: async (_, scanSignal) => {
        const position = await walPosition(databases.source)
        while (changes.settledThrough < position && !scanSignal.aborted) {
          await sleep(settledPollMs, undefined, { signal: scanSignal, ref: false }).catch(() => {})
        }
      },
      onKeys: () => dirty.wake(),
      everyMs: resolved.scan.everyMs,
      logger,
    })
    const results = followRequests(this.#parts, () => dirty.wake())
    await aborted(signal)

    stream.pause()
    await Promise.all([dirty.stop(), parked.stop(), scanner.stop(), results.stop()])
    const { inDoubt } = await this.#dispatcher.stop()
    await dirty.flush()
    if (!inDoubt) await doubts.clear(changes.settledThrough)
    await stream.stop()
  }

  /** Promise 6: above the budget the socket is not read; below half of it, it is again. */
  #regulate(bytes: number): void {
    const { maxPendingBytes } = this.#parts.resolved
    if (!this.#paused && bytes > maxPendingBytes) {
      this.#paused = true
      this.#stream?.pause()
    } else if (this.#paused && bytes < maxPendingBytes / 2) {
      this.#paused = false
      this.#stream?.resume()
    }
    // Drained: what is confirmed need not wait for the timer.
    if (bytes === 0) this.#stream?.flushAcks()
  }
}
