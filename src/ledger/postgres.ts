/** What the ledger needs of a `pg` pool or client. */
export interface Queryable {
  query(
    text: string | { name?: string; text: string; values?: unknown[] },
    values?: unknown[],
  ): Promise<{ rows: Record<string, unknown>[] }>
}

const plain = /^[\w.:/+=-]+$/

/**
 * An array literal of texts. `pg` would make the same, but slower: it escapes every element twice, and this is the
 * ledger's largest cost in this process.
 */
export function textArray(values: readonly (string | null)[]): string {
  let literal = '{'
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] ?? null
    if (index > 0) literal += ','
    // An element that spells NULL would be read as null.
    if (value === null) literal += 'NULL'
    else if (plain.test(value) && value.toLowerCase() !== 'null') literal += value
    else literal += `"${value.replace(/[\\"]/g, '\\$&')}"`
  }
  return `${literal}}`
}
