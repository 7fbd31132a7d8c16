const textOid = 25
const headBytes = 5 * 4
const firstBytes = 64 * 1024

/**
 * Gathers an array of texts in Postgres' binary format: what `pg` sends as it is when it is given as a parameter. It costs
 * this process half of what a literal does, and the server does not look for quotes in it. The texts themselves are let go
 * at once: one that was cut out of a row would keep the row.
 * @see https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES
 */
export class TextArrayWriter {
  length = 0
  /** Whether there is nothing but nulls. */
  isNull = true
  #bytes = Buffer.allocUnsafe(firstBytes)
  #end = headBytes

  add(value: string | null): void {
    // A character of UTF-16 has three bytes of UTF-8 at most.
    this.#reserve(4 + (value === null ? 0 : value.length * 3))
    const bytes = value === null ? -1 : this.#bytes.write(value, this.#end + 4)
    this.#bytes.writeInt32BE(bytes, this.#end)
    this.#end += 4 + Math.max(0, bytes)
    this.length += 1
    if (value !== null) this.isNull = false
  }

  /** The texts. */
  read(): string[] {
    return this.#elements().map(({ from, to }) => this.#bytes.toString('utf8', from + 4, to))
  }

  /** The array; nothing may be added after it. @param order Which of the texts is where. */
  end(order: readonly number[] | null = null): Buffer {
    const bytes = order === null ? this.#bytes.subarray(0, this.#end) : this.#ordered(order)
    bytes.writeInt32BE(1, 0)
    bytes.writeInt32BE(1, 4)
    bytes.writeInt32BE(textOid, 8)
    bytes.writeInt32BE(this.length, 12)
    bytes.writeInt32BE(1, 16)
    return bytes
  }

  #ordered(order: readonly number[]): Buffer {
    const elements = this.#elements()
    const ordered = Buffer.allocUnsafe(this.#end)
    let at = headBytes
    for (const index of order) {
      const { from, to } = elements[index] ?? { from: 0, to: 0 }
      at += this.#bytes.copy(ordered, at, from, to)
    }
    return ordered
  }

  #elements(): { readonly from: number; readonly to: number }[] {
    const elements: { readonly from: number; readonly to: number }[] = []
    for (let from = headBytes; from < this.#end; ) {
      const to = from + 4 + Math.max(0, this.#bytes.readInt32BE(from))
      elements.push({ from, to })
      from = to
    }
    return elements
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#end + bytes))
    this.#bytes.copy(larger, 0, 0, this.#end)
    this.#bytes = larger
  }
}

export function binaryTextArray(values: readonly (string | null)[]): Buffer {
  const array = new TextArrayWriter()
  for (const value of values) array.add(value)
  return array.end()
}
