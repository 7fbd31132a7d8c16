import type { RowKey } from '../../capture/change.js'
import type { WalkPosition } from '../../capture/scan.js'
import type { ImportSettings } from '../../config/resolved.js'
import type { PartWriter, Spool, SpooledPart } from '../../delivery/import/spool.js'
import type { QueuedKey } from '../../ledger/backfills.js'
import type { BackfillCursor, Counts } from './cursor.js'
import type { SortedObject } from './sort-chunk.js'

/** All rows up to a position are in the group, or need nothing more. */
export interface Reached {
  readonly position: WalkPosition | null
  readonly counts: Pick<Counts, 'rows' | 'inStep' | 'refused'>
}

/** A group that is complete, with a part for each mapping that has any objects. */
export interface CompleteGroup {
  readonly parts: readonly { readonly target: number; readonly part: SpooledPart }[]
  readonly reached: Reached
}

/** The files that are being filled, one for each mapping of the table. While they hold little, their keys are kept, too. */
export class PartGroup {
  objects = 0
  reached: Reached
  readonly #spool: Spool
  readonly #settings: ImportSettings
  readonly #writers = new Map<number, PartWriter>()
  /** By row, since several mappings have it. */
  readonly #keys = new Map<string, RowKey>()

  constructor(spool: Spool, settings: ImportSettings, reached: Reached) {
    this.#spool = spool
    this.#settings = settings
    this.reached = reached
  }

  get isFull(): boolean {
    const { maxPartBytes, maxPartObjects } = this.#settings
    return [...this.#writers.values()].some(({ bytes, objects }) => bytes >= maxPartBytes || objects >= maxPartObjects)
  }

  /** Few enough to go as ongoing changes do. */
  get isSmall(): boolean {
    return this.objects < this.#settings.minObjects
  }

  /** Whether the object would make its file too large. */
  overflows({ target, bytes }: Pick<SortedObject, 'target' | 'bytes'>): boolean {
    const before = this.#writers.get(target)?.bytes ?? 0
    return before > 0 && before + bytes + 1 > this.#settings.maxPartBytes
  }

  add({ target, object, bytes, row }: SortedObject, keyOf: (row: number) => RowKey): void {
    let writer = this.#writers.get(target)
    if (writer === undefined) {
      writer = this.#spool.create()
      this.#writers.set(target, writer)
    }
    this.objects += 1
    if (this.isSmall) {
      const key = keyOf(row)
      this.#keys.set(JSON.stringify(key), key)
    } else if (this.#keys.size > 0) {
      this.#keys.clear()
    }
    writer.add(object, bytes)
  }

  /** Resolves once there is room in memory for more. */
  async write(): Promise<void> {
    for (const writer of this.#writers.values()) await writer.write()
  }

  /** Of a small group: its rows. */
  keys(force: boolean): readonly QueuedKey[] {
    return [...this.#keys.values()].map((key) => ({ key, force }))
  }

  /** The cursor, once nothing of the group is to be sent. */
  moved(cursor: BackfillCursor): BackfillCursor {
    const { position, counts } = this.reached
    return { ...cursor, position, counts: { ...cursor.counts, ...counts } }
  }

  async complete(): Promise<CompleteGroup> {
    const parts: { target: number; part: SpooledPart }[] = []
    for (const [target, writer] of this.#writers) parts.push({ target, part: await writer.finish() })
    this.#writers.clear()
    return { parts, reached: this.reached }
  }

  /** Removes what was not finished. */
  async discard(): Promise<void> {
    for (const { name } of this.#writers.values()) await this.#spool.remove(name)
    this.#writers.clear()
  }
}
