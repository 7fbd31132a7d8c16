/**
 * A position in the WAL: 64 bits, counted in bytes. Postgres writes it as two hexadecimal halves, `16/B374D848`.
 * @see https://www.postgresql.org/docs/current/datatype-pg-lsn.html
 */
export type Lsn = bigint

/** Reads `16/B374D848`. */
export function parseLsn(text: string): Lsn {
  const slash = text.indexOf('/')
  if (slash < 1) throw new RangeError(`not an LSN: ${JSON.stringify(text)}`)
  return (BigInt(`0x${text.slice(0, slash)}`) << 32n) | BigInt(`0x${text.slice(slash + 1)}`)
}

/** Writes `16/B374D848`, as Postgres does. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`
}
