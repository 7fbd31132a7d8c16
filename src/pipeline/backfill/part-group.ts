import type { RowKey } from '../../capture/change.js'
import type { WalkPosition } from '../../capture/scan.js'
import type { ImportSettings } from '../../config/resolved.js'
import type { PartObject } from '../../delivery/import/manifest.js'
import type { PartWriter, Spool, SpooledPart } from '../../delivery/import/spool.js'
import type { QueuedKey } from '../../ledger/backfills.js'
import type { BackfillCursor, Counts } from './cursor.js'

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
  readonly #enoughBytes: number
  readonly #writers = new Map<number, PartWriter>()
  /** By row, since several mappings have it. */
  readonly #keys = new Map<string, RowKey>()

  /** @param options.enoughBytes of a file, where it is not a small group: no more is added then. */
  constructor(
    spool: Spool,
    options: { readonly settings: ImportSettings; readonly enoughBytes: number; readonly reached: Reached },
  ) {
    this.#spool = spool
    this.#settings = options.settings
    this.#enoughBytes = options.enoughBytes
    this.reached = options.reached
  }

  /** Few enough to go as ongoing changes do. */
  get isSmall(): boolean {
    return this.objects < this.#settings.minObjects
  }

  /** Whether the file that the object belongs into has no room for it. */
  isFullFor(target: number, { json }: PartObject): boolean {
    const { maxPartBytes, maxPartObjects } = this.#settings
    const writer = this.#writers.get(target)
    if (writer === undefined) return false
    if (writer.objects >= maxPartObjects || (writer.bytes >= this.#enoughBytes && !this.isSmall)) return true
    // Of a text as it is usually stored a character is a byte; only near the border it is counted.
    return writer.bytes + json.length * 3 > maxPartBytes && writer.bytes + Buffer.byteLength(json) + 1 > maxPartBytes
  }

  /**
   * @param keyOf gives the key of its row; `null` where it goes by import however few they are.
   * @returns whether it is time to {@link write}.
   */
  add(target: number, object: PartObject, keyOf: (() => RowKey) | null): boolean {
    let writer = this.#writers.get(target)
    if (writer === undefined) {
      writer = this.#spool.create()
      this.#writers.set(target, writer)
    }
    this.objects += 1
    if (keyOf !== null && this.isSmall) {
      const key = keyOf()
      this.#keys.set(JSON.stringify(key), key)
    } else if (this.#keys.size > 0) {
      this.#keys.clear()
    }
    return writer.add(object)
  }

  /** Writes what has gathered. */
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

  /** Closes and removes what was not finished. */
  async discard(): Promise<void> {
    for (const writer of this.#writers.values()) {
      await writer.close()
      await this.#spool.remove(writer.name)
    }
    this.#writers.clear()
  }
}
