import type { RowKey } from '../../capture/change.js'
import type { PartObject } from '../../delivery/import/manifest.js'
import type { LedgerPort, ReadRows } from '../../delivery/ports.js'
import type { QueuedKey } from '../../ledger/backfills.js'
import type { Comparison } from '../../ledger/comparison.js'
import type { Lsn } from '../../lsn.js'
import { compareTarget } from '../scan/compare.js'
import { isBehind, type Standing } from '../scan/standing.js'
import type { WalkedChunk, WalkedTarget } from '../scan/table-walk.js'

export interface SortOptions {
  readonly comparison: Comparison
  readonly ledger: Pick<LedgerPort, 'lookup'>
  readonly readRows: ReadRows
  /** Sends also what is in step, and what was refused. */
  readonly force: boolean
  /** A position after all that the chunk saw; `null` where none is needed. */
  readonly lsn: Lsn | null
  /** Larger objects go with the ongoing changes, which park them. */
  readonly maxObjectBytes: number
}

/** Where the objects of a chunk that are to be sent go, in the order of the rows. */
export interface Sink {
  /** No more is to be sent. */
  readonly isEnough: boolean
  /** @returns what is to be awaited before the next one; `null`: nothing. */
  put(target: number, object: PartObject, row: number): Promise<void> | null
}

/** What else is to be done with the rows of a chunk. */
export interface SortedChunk {
  /** Rows that only the delivery of ongoing changes can deal with: tombstones, and what is to be parked. */
  readonly keys: readonly QueuedKey[]
  readonly inStep: number
  readonly refused: number
  /** Every row was dealt with. */
  readonly complete: boolean
}

/** Rows that are read again in one query. */
const maxRead = 200

/**
 * Compares the rows of a chunk with the ledger, and says what is to be sent.
 *
 * A row that the ledger has otherwise is read again after the comparison: while it was on its way here, it may have
 * changed, been delivered and recorded, and what was read first would take SafetyKit back. A row that the ledger did not
 * know needs no second look: whoever delivers it meanwhile inserts it first, and then the import leaves the ledger alone.
 */
export async function sortChunk(chunk: WalkedChunk, options: SortOptions, sink: Sink): Promise<SortedChunk> {
  const compared = await Promise.all(chunk.targets.map((walked) => compareTarget(options.comparison, walked)))
  const sorter = new Sorter(chunk, options, sink)
  for (const [target, walked] of chunk.targets.entries()) {
    await sorter.sort(target, walked, compared[target]?.standings ?? [])
  }
  return sorter
}

class Sorter implements SortedChunk {
  inStep = 0
  refused = 0
  complete = true
  readonly #chunk: WalkedChunk
  readonly #options: SortOptions
  readonly #sink: Sink
  readonly #queued = new Map<number, QueuedKey>()

  constructor(chunk: WalkedChunk, options: SortOptions, sink: Sink) {
    this.#chunk = chunk
    this.#options = options
    this.#sink = sink
  }

  async sort(target: number, walked: WalkedTarget, standings: readonly Standing[]): Promise<void> {
    const { force, lsn } = this.#options
    const again: number[] = []
    for (let index = 0; index < standings.length; index += 1) {
      const standing = standings[index] ?? 'in step'
      const mapped = walked.mapped[index]
      if (mapped === undefined) continue
      if (!force && !isBehind(standing)) this.#leave(standing)
      else if (mapped.kind !== 'object') {
        if (isBehind(standing) || mapped.kind === 'invalid') this.#queue(walked, index)
        else this.#leave(standing)
      } else if (standing !== 'missing') again.push(index)
      else {
        const wait = this.#put(target, walked, index, mapped, lsn, null)
        if (wait !== null) await wait
      }
    }
    await this.#lookAgain(target, walked, again)
  }

  get keys(): readonly QueuedKey[] {
    return [...this.#queued.values()]
  }

  #leave(standing: Standing): void {
    if (standing === 'in step') this.inStep += 1
    else this.refused += 1
  }

  #queue(walked: WalkedTarget, index: number): void {
    const row = walked.rows[index]
    if (row !== undefined) this.#queued.set(row, { key: this.#chunk.keyOf(row), force: this.#options.force })
  }

  async #lookAgain(target: number, walked: WalkedTarget, indices: readonly number[]): Promise<void> {
    const { ledger, readRows, force } = this.#options
    const { origin } = walked.target
    for (let at = 0; at < indices.length; at += maxRead) {
      const some = indices.slice(at, at + maxRead)
      const rows = some.map((index) => ({ id: idOf(walked, index), key: this.#keyOf(walked, index) }))
      // In this order: what is delivered between the two is told by the ledger's request when the import is recorded.
      const known = await ledger.lookup(
        origin.namespace,
        rows.map(({ id }) => id),
      )
      const contents = await readRows(origin, rows)
      for (const [place, index] of some.entries()) {
        const content = contents[place]
        const before = known[place] ?? null
        if (content?.kind !== 'object') {
          // Gone, excluded or unfit by now.
          this.#queue(walked, index)
        } else if (!force && before?.state === 'accepted' && before.fingerprint === content.fingerprint) {
          this.#leave('in step')
        } else {
          const expected = before === null ? null : (before.requestId ?? '')
          await this.#put(target, walked, index, content, content.lsn, expected)
        }
      }
    }
  }

  #keyOf(walked: WalkedTarget, index: number): RowKey {
    return this.#chunk.keyOf(walked.rows[index] ?? 0)
  }

  #put(
    target: number,
    walked: WalkedTarget,
    index: number,
    { json, fingerprint }: { readonly json: string; readonly fingerprint: string },
    lsn: Lsn | null,
    expected: string | null,
  ): Promise<void> | null {
    if (this.#sink.isEnough) {
      this.complete = false
      return null
    }
    const { maxObjectBytes } = this.#options
    const isLarge = json.length * 3 > maxObjectBytes && Buffer.byteLength(json) > maxObjectBytes
    // A line break would make two lines of one.
    if (isLarge || json.includes('\n')) {
      this.#queue(walked, index)
      return null
    }
    // Where the id is the key, it need not be kept.
    const { keyOf, every } = walked.target.origin
    const key = keyOf === null ? this.#keyOf(walked, index) : null
    // Where each version is sent, one of a transaction that was open at the read must not count as recorded.
    const seen = every === true ? null : lsn
    const object = { id: idOf(walked, index), json, fingerprint, lsn: seen, expected, key }
    return this.#sink.put(target, object, walked.rows[index] ?? 0)
  }
}

const idOf = (walked: WalkedTarget, index: number): string => walked.mapped[index]?.id ?? ''
