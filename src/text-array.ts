const textOid = 25
const headBytes = 5 * 4

/**
 * An array of texts in Postgres' binary format: what `pg` sends as it is when it is given as a parameter. It costs this
 * process half of what a literal does, and the server does not look for quotes in it.
 * @see https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES
 */
export function binaryTextArray(values: readonly (string | null)[]): Buffer {
  let most = headBytes
  // A character of UTF-16 has three bytes of UTF-8 at most.
  for (const value of values) most += 4 + (value === null ? 0 : value.length * 3)
  const buffer = Buffer.allocUnsafe(most)
  buffer.writeInt32BE(values.length === 0 ? 0 : 1, 0)
  buffer.writeInt32BE(1, 4)
  buffer.writeInt32BE(textOid, 8)
  buffer.writeInt32BE(values.length, 12)
  buffer.writeInt32BE(1, 16)
  let at = values.length === 0 ? 12 : headBytes
  for (const value of values) {
    const length = value === null ? -1 : buffer.write(value, at + 4)
    buffer.writeInt32BE(length, at)
    at += 4 + Math.max(0, length)
  }
  return buffer.subarray(0, at)
}
