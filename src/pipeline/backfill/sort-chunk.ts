import type { RowKey } from '../../capture/change.js'
import type { PartObject } from '../../delivery/import/manifest.js'
import type { LedgerPort, ReadRows } from '../../delivery/ports.js'
import type { QueuedKey } from '../../ledger/backfills.js'
import type { Comparison } from '../../ledger/comparison.js'
import type { Lsn } from '../../lsn.js'
import type { Mapped } from '../../mapping/mapping-plan.js'
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

/** What is to be done with the rows of a chunk. */
export interface SortedChunk {
  /** To be sent, by target; in the rows' order. */
  readonly objects: readonly SortedObject[]
  /** Rows that only the delivery of ongoing changes can deal with: tombstones, and what is to be parked. */
  readonly keys: readonly QueuedKey[]
  readonly inStep: number
  readonly refused: number
}

export interface SortedObject {
  readonly target: number
  readonly object: PartObject
  /** Of its JSON. */
  readonly bytes: number
  /** Which row of the chunk. */
  readonly row: number
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
export async function sortChunk(chunk: WalkedChunk, options: SortOptions): Promise<SortedChunk> {
  const { comparison, force } = options
  const compared = await Promise.all(chunk.targets.map((walked) => compareTarget(comparison, walked)))
  const sorter = new Sorter(chunk, options)
  for (const [target, walked] of chunk.targets.entries()) {
    const found = compared[target]
    if (found === undefined) continue
    const again: number[] = []
    for (const [index, standing] of found.standings.entries()) {
      const mapped = walked.mapped[index]
      if (mapped === undefined) continue
      if (!force && !isBehind(standing)) sorter.leave(standing)
      else if (standing === 'missing' && mapped.kind === 'object') sorter.send(target, walked, { index, mapped })
      else if (mapped.kind === 'object') again.push(index)
      else if (isBehind(standing) || mapped.kind === 'invalid') sorter.queue(walked, index)
      else sorter.leave(standing)
    }
    await sorter.lookAgain(target, walked, again)
  }
  return sorter
}

class Sorter implements SortedChunk {
  readonly objects: SortedObject[] = []
  inStep = 0
  refused = 0
  readonly #chunk: WalkedChunk
  readonly #options: SortOptions
  readonly #queued = new Map<number, QueuedKey>()

  constructor(chunk: WalkedChunk, options: SortOptions) {
    this.#chunk = chunk
    this.#options = options
  }

  get keys(): readonly QueuedKey[] {
    return [...this.#queued.values()]
  }

  leave(standing: Standing): void {
    if (standing === 'in step') this.inStep += 1
    else this.refused += 1
  }

  queue(walked: WalkedTarget, index: number): void {
    const row = walked.rows[index]
    if (row !== undefined) this.#queued.set(row, { key: this.#chunk.keyOf(row), force: this.#options.force })
  }

  send(
    target: number,
    walked: WalkedTarget,
    found: { readonly index: number; readonly mapped: Extract<Mapped, { kind: 'object' }> },
  ): void {
    const { index, mapped } = found
    this.#put(target, walked, index, { ...contentOf(mapped), lsn: this.#options.lsn, expected: null })
  }

  async lookAgain(target: number, walked: WalkedTarget, indices: readonly number[]): Promise<void> {
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
          this.queue(walked, index)
        } else if (!force && before?.state === 'accepted' && before.fingerprint === content.fingerprint) {
          this.leave('in step')
        } else {
          const expected = before === null ? null : (before.requestId ?? '')
          this.#put(target, walked, index, { ...contentOf(content), lsn: content.lsn, expected })
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
    content: Pick<PartObject, 'json' | 'fingerprint' | 'lsn' | 'expected'>,
  ): void {
    const { json } = content
    const bytes = Buffer.byteLength(json)
    // A line break would make two lines of one.
    if (bytes > this.#options.maxObjectBytes || json.includes('\n')) {
      this.queue(walked, index)
      return
    }
    // Where the id is the key, it need not be kept.
    const key = walked.target.origin.keyOf === null ? this.#keyOf(walked, index) : null
    this.objects.push({
      target,
      object: { id: idOf(walked, index), ...content, key },
      bytes,
      row: walked.rows[index] ?? 0,
    })
  }
}

const contentOf = ({ json, fingerprint }: { json: string; fingerprint: string }) => ({ json, fingerprint })

const idOf = (walked: WalkedTarget, index: number): string => walked.mapped[index]?.id ?? ''
