import type { RowKey } from '../../capture/change.js'
import type { PartObject } from '../../delivery/import/manifest.js'
import { Spool } from '../../delivery/import/spool.js'
import type { ObjectStorage } from '../../delivery/import/storage.js'
import type { ReadRows } from '../../delivery/ports.js'
import type { BackfillStore, QueuedKey } from '../../ledger/backfills.js'
import type { Comparison } from '../../ledger/comparison.js'
import type { ImportRecording } from '../../ledger/imports.js'
import type { Lsn } from '../../lsn.js'
import type { Parts } from '../engine.js'
import { TableWalk, type WalkedChunk } from '../scan/table-walk.js'
import type { Source } from '../sources.js'
import { walPosition } from '../wal-position.js'
import { askedOf, type BackfillCursor, beginning, type Counts, noCounts } from './cursor.js'
import { Journal } from './journal.js'
import { overdueTombstones } from './overdue-tombstones.js'
import { PartGroup, type Reached } from './part-group.js'
import { PartSender } from './part-sender.js'
import type { BackfillRequest } from './report.js'
import { sortChunk } from './sort-chunk.js'
import type { Tally } from './tally.js'

export interface TableBackfillOptions {
  readonly parts: Pick<Parts, 'resolved' | 'databases' | 'sources' | 'ledger' | 'client' | 'logger'>
  readonly storage: ObjectStorage
  readonly store: BackfillStore<BackfillCursor>
  readonly recording: ImportRecording
  readonly comparison: Comparison
  readonly readRows: ReadRows
  readonly spoolDirectory: string
  readonly source: Source
  readonly request: BackfillRequest
  readonly tally: Tally
  /** Aborted when it is to stop, or when the table is another process' by now. */
  readonly signal: AbortSignal
  /** Keys were put into `dirty`. */
  readonly onKeys: () => void
}

/** So often the cursor is moved while nothing is to be sent. */
const saveEveryMs = 5_000
/**
 * The first file is this small, each next one twice as large as the one before: SafetyKit and the ledger have something to do
 * while the table is still being read.
 */
const firstBytes = 4 * 1024 * 1024

/**
 * One attempt to bring a table in, from where the last one came to: walks it by its primary key, and sends what differs from
 * the ledger, by imports where it is much. Whatever ends it, the next attempt goes on from the journal.
 */
export class TableBackfill {
  readonly #options: TableBackfillOptions
  readonly #journal: Journal
  readonly #spool: Spool
  readonly #sender: PartSender
  #group: PartGroup
  #sent = 0
  #enoughBytes = firstBytes
  #lastSaveMs = performance.now()

  private constructor(options: TableBackfillOptions, journal: Journal) {
    const { parts, storage, recording, source, spoolDirectory, signal, tally } = options
    const { client, resolved, logger } = parts
    this.#options = options
    this.#journal = journal
    this.#spool = new Spool(spoolDirectory)
    this.#sender = new PartSender({
      client,
      storage,
      recording,
      spool: this.#spool,
      journal,
      source: source.bound.source,
      namespaces: source.targets.map(({ mapping }) => mapping.namespace),
      delivery: resolved.delivery,
      signal,
      logger,
      onRecorded: () => tally.sent(journal.cursor.counts),
    })
    const { position, counts } = journal.cursor
    this.#group = this.#newGroup({ position, counts: walkedOf(counts) })
  }

  static async run(options: TableBackfillOptions): Promise<void> {
    const { store, source, request, tally } = options
    const asked = askedOf(
      request,
      source.targets.map(({ mapping }) => mapping),
    )
    const journal = await Journal.open(store, { source: source.name, asked, force: request.force ?? false })
    tally.begin(journal.cursor.counts)
    await new TableBackfill(options, journal).#run()
  }

  async #run(): Promise<void> {
    await this.#spool.open(this.#journal.cursor.parts.map(({ name }) => name))
    await this.#recover()
    const { counts } = this.#journal.cursor
    this.#sent = counts.imported + counts.queued
    try {
      await this.#walk()
      await this.#sendRest()
    } finally {
      await this.#sender.ended()
      await this.#group.discard()
    }
    await this.#end()
  }

  /** Where the content of an import is not known, whatever it holds may be older than what SafetyKit had. */
  async #recover(): Promise<void> {
    if ((await this.#sender.recover()) === 'recovered') return
    const { source, store, parts } = this.#options
    parts.logger.warn(
      'The files of an import that was uploaded and not recorded are gone: all of the table is sent again once it is processed',
      {
        source: source.name,
        hint: 'Let import.spoolDirectory be a folder that outlives the process.',
      },
    )
    await this.#sender.untilProcessed()
    // Also of rows that are gone: the import may have brought them back.
    const namespaces = source.targets.map(({ mapping }) => mapping.namespace)
    await store.forget([source.name, source.bound.source], namespaces)
    await this.#journal.change(({ asked }) => ({ ...beginning(asked, true), importing: true, hasImported: true }))
    this.#group = this.#newGroup({ position: null, counts: walkedOf(noCounts) })
    this.#options.tally.begin(noCounts)
  }

  async #walk(): Promise<void> {
    const { parts, source, request, signal } = this.#options
    const { databases, sources } = parts
    const from = this.#journal.cursor.position
    const walk = new TableWalk({
      db: databases.source,
      sources,
      source: source.name,
      from,
      ...(request.where === undefined ? {} : { where: request.where }),
    })
    try {
      for (let chunk = await walk.next(); chunk !== null && !this.#isEnough(); chunk = await walk.next()) {
        await this.#take(chunk)
        signal.throwIfAborted()
        this.#sender.throwIfFailed()
      }
    } finally {
      await walk.close()
    }
  }

  async #take(chunk: WalkedChunk): Promise<void> {
    const { comparison, parts, readRows, tally } = this.#options
    const { importing, force } = this.#journal.cursor
    const options = {
      comparison,
      ledger: parts.ledger,
      readRows,
      force,
      lsn: await this.#lsn(),
      maxObjectBytes: parts.resolved.delivery.maxBatchBytes,
    }
    const backfill = this
    const { keys, inStep, refused, complete } = await sortChunk(chunk, options, {
      get isEnough() {
        return backfill.#isEnough()
      },
      put: (target, object, row) => this.#put(target, object, importing ? null : () => chunk.keyOf(row)),
    })
    await this.#queue(keys)
    tally.scanned({ rows: chunk.rows, inStep, refused })
    if (complete) await this.#reach(chunk)
  }

  #put(target: number, object: PartObject, keyOf: (() => RowKey) | null): Promise<void> | null {
    this.#sent += 1
    if (this.#group.isFullFor(target, object))
      return this.#flush().then(() => this.#add(target, object, keyOf) ?? undefined)
    return this.#add(target, object, keyOf)
  }

  #add(target: number, object: PartObject, keyOf: (() => RowKey) | null): Promise<void> | null {
    return this.#group.add(target, object, keyOf) ? this.#group.write() : null
  }

  /** All rows of the chunk are in the group, or need nothing more. */
  async #reach(chunk: WalkedChunk): Promise<void> {
    this.#group.reached = { position: chunk.position, counts: this.#options.tally.walked }
    const nowMs = performance.now()
    if (this.#group.objects > 0 || nowMs < this.#lastSaveMs + saveEveryMs) return
    await this.#sender.idle()
    await this.#journal.change((cursor) => this.#group.moved(cursor))
    this.#lastSaveMs = nowMs
  }

  async #flush(): Promise<void> {
    const group = this.#group
    this.#enoughBytes *= 2
    this.#group = this.#newGroup(group.reached)
    await this.#sender.send(await group.complete())
  }

  /** What is left in the end: little goes as ongoing changes do. */
  async #sendRest(): Promise<void> {
    const { tally, onKeys } = this.#options
    tally.enter('importing')
    await this.#sender.idle()
    const { importing, force } = this.#journal.cursor
    if (importing || !this.#group.isSmall) {
      if (this.#group.objects > 0) await this.#flush()
      await this.#sender.idle()
      return
    }
    const keys = this.#group.keys(force)
    await this.#journal.change(
      (cursor) => {
        const moved = this.#group.moved(cursor)
        return { ...moved, counts: { ...moved.counts, queued: moved.counts.queued + keys.length } }
      },
      { keys },
    )
    tally.sent(this.#journal.cursor.counts)
    if (keys.length > 0) onKeys()
  }

  async #end(): Promise<void> {
    const { parts, comparison, source, signal } = this.#options
    if (this.#journal.cursor.hasImported) {
      for await (const keys of overdueTombstones({ parts, comparison, source, signal })) {
        await this.#queue(keys.map((key) => ({ key, force: false })))
      }
    }
    await this.#journal.change((last) => last, { finished: true })
  }

  /** Hands rows to the delivery of ongoing changes. */
  async #queue(keys: readonly QueuedKey[]): Promise<void> {
    if (keys.length === 0) return
    const { tally, onKeys } = this.#options
    await this.#journal.change(
      ({ counts, ...cursor }) => ({ ...cursor, counts: { ...counts, queued: counts.queued + keys.length } }),
      { keys },
    )
    this.#sent += keys.length
    tally.sent(this.#journal.cursor.counts)
    onKeys()
  }

  #isEnough(): boolean {
    const { limit } = this.#options.request
    return limit !== undefined && this.#sent >= limit
  }

  /** Changes from the WAL that lie before what was read must not take it back. */
  async #lsn(): Promise<Lsn | null> {
    const { resolved, databases } = this.#options.parts
    return resolved.capture === 'replication' ? walPosition(databases.source) : null
  }

  #newGroup(reached: Reached): PartGroup {
    return new PartGroup(this.#spool, {
      settings: this.#options.parts.resolved.import,
      enoughBytes: this.#enoughBytes,
      reached,
    })
  }
}

const walkedOf = ({ rows, inStep, refused }: Counts): Reached['counts'] => ({ rows, inStep, refused })
