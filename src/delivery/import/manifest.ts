import { type FileHandle, open } from 'node:fs/promises'
import type { RowKey } from '../../capture/change.js'
import { formatLsn, type Lsn } from '../../lsn.js'
import { TextArrayWriter } from '../../text-array.js'

/** An object as it is put into an import. */
export interface PartObject {
  readonly id: string
  readonly json: string
  readonly fingerprint: string
  readonly lsn: Lsn | null
  /** The request that the ledger had when the object was compared, '' for none; `null`: it did not know the object. */
  readonly expected: string | null
  /** `null` where the id tells it. */
  readonly key: RowKey | null
}

/**
 * What the ledger has to be told of some thousand objects, in the order of their ids: each column as Postgres takes an array of
 * texts in binary form, so that it is made once and never parsed here. `null` where all values of the column are.
 */
export interface ManifestSlice {
  readonly objects: number
  readonly ids: Buffer
  readonly fingerprints: Buffer
  /** As Postgres writes it. */
  readonly lsns: Buffer | null
  readonly expected: Buffer | null
  /** JSON. */
  readonly keys: Buffer | null
}

/** Objects of a slice, and so of one transaction of the ledger, which must not keep others waiting for long. */
const sliceObjects = 20_000
/** How many objects it has, and the bytes of its five columns. */
const headBytes = 6 * 4

/** Gathers what the ledger has to be told of the objects of a part. */
export class ManifestWriter {
  #slice = new SliceWriter()
  #done: Buffer[] = []

  add(object: PartObject): void {
    this.#slice.add(object)
    if (this.#slice.objects === sliceObjects) this.#endSlice()
  }

  /** What is to be written next: complete slices. @param last also the one that is not full. */
  take(last: boolean): Buffer {
    if (last && this.#slice.objects > 0) this.#endSlice()
    const taken = Buffer.concat(this.#done)
    this.#done = []
    return taken
  }

  #endSlice(): void {
    this.#done.push(...this.#slice.end())
    this.#slice = new SliceWriter()
  }
}

class SliceWriter {
  readonly #ids = new TextArrayWriter()
  readonly #fingerprints = new TextArrayWriter()
  readonly #lsns = new TextArrayWriter()
  readonly #expected = new TextArrayWriter()
  readonly #keys = new TextArrayWriter()
  #lastId: string | null = null
  #ascending = true
  #lsn: { readonly of: Lsn | null; readonly text: string | null } = { of: null, text: null }

  get objects(): number {
    return this.#ids.length
  }

  add({ id, fingerprint, lsn, expected, key }: PartObject): void {
    this.#ascending &&= this.#lastId === null || this.#lastId < id
    this.#lastId = id
    this.#ids.add(id)
    this.#fingerprints.add(fingerprint)
    this.#lsns.add(this.#textOf(lsn))
    this.#expected.add(expected)
    this.#keys.add(key === null ? null : JSON.stringify(key))
  }

  end(): readonly Buffer[] {
    const order = this.#ascending ? null : byText(this.#ids.read())
    const columns = [this.#ids, this.#fingerprints, this.#lsns, this.#expected, this.#keys].map((column) =>
      column.isNull ? Buffer.alloc(0) : column.end(order),
    )
    const head = Buffer.alloc(headBytes)
    head.writeInt32BE(this.objects, 0)
    for (const [at, column] of columns.entries()) head.writeInt32BE(column.length, 4 * (at + 1))
    return [head, ...columns]
  }

  /** The objects of a chunk share one. */
  #textOf(lsn: Lsn | null): string | null {
    if (lsn !== this.#lsn.of) this.#lsn = { of: lsn, text: lsn === null ? null : formatLsn(lsn) }
    return this.#lsn.text
  }
}

/** As receipts are written: of two that wait for each other's objects, one would fail. */
const byText = (ids: readonly string[]): readonly number[] =>
  [...ids.keys()].sort((a, b) => ((ids[a] ?? '') < (ids[b] ?? '') ? -1 : 1))

/** Reads a manifest slice by slice. */
export async function* readManifest(file: string): AsyncGenerator<ManifestSlice> {
  const handle = await open(file, 'r')
  try {
    for (;;) {
      const head = await read(handle, headBytes)
      if (head === null) return
      const lengths = [1, 2, 3, 4, 5].map((at) => head.readInt32BE(4 * at))
      const body = await read(
        handle,
        lengths.reduce((sum, length) => sum + length, 0),
      )
      let from = 0
      const [ids, fingerprints, lsns, expected, keys] = lengths.map((length) => {
        from += length
        return length === 0 || body === null ? null : body.subarray(from - length, from)
      })
      if (ids == null || fingerprints == null) throw cutOff()
      const objects = head.readInt32BE(0)
      yield { objects, ids, fingerprints, lsns: lsns ?? null, expected: expected ?? null, keys: keys ?? null }
    }
  } finally {
    await handle.close()
  }
}

/** The next bytes; `null` at the end of the file. */
async function read(handle: FileHandle, bytes: number): Promise<Buffer | null> {
  const buffer = Buffer.allocUnsafe(bytes)
  let filled = 0
  while (filled < bytes) {
    const { bytesRead } = await handle.read(buffer, filled, bytes - filled)
    if (bytesRead === 0 && filled === 0) return null
    if (bytesRead === 0) throw cutOff()
    filled += bytesRead
  }
  return buffer
}

const cutOff = (): RangeError => new RangeError('a manifest is cut off')
